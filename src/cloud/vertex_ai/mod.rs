//! Google Vertex AI.

mod settings;

pub use settings::VertexAiSettings;
