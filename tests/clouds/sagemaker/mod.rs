//! Amazon SageMaker.
