//! Alibaba Cloud PAI-EAS.
