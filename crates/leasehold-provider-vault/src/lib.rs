//! HashiCorp Vault and OpenBao as a provider.
