# CLOUD/ENDPOINT/vNUMBER, or ENDPOINT/vNUMBER for the provider's cloud.
terraform import sluice_endpoint_version.chat local/chat/v4
