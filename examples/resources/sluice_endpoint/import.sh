# CLOUD/NAME, or NAME for the provider's cloud.
terraform import sluice_endpoint.chat local/chat
