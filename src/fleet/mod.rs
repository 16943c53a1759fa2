//! What is: the observed replicas and traffic of one endpoint.
