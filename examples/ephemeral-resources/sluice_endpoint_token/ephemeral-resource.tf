# A token that opens the endpoint for as long as the apply needs it. It is in no state and no plan.
ephemeral "sluice_endpoint_token" "chat" {
  endpoint  = "chat"
  valid_for = "10m"
}

# Provider blocks and write-only arguments take it as well.
check "the_endpoint_gives_out_tokens" {
  assert {
    condition     = timecmp(ephemeral.sluice_endpoint_token.chat.expires_at, plantimestamp()) > 0
    error_message = "The token has ended already."
  }
}
