//! Google Vertex AI.
