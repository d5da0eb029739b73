// Package vault wraps the master key of a keyset with the transit secrets engine of
// HashiCorp Vault, or of OpenBao, so that the key-encryption key never leaves the
// server.
//
// [Transit] is a [keystore.Wrapper]. It speaks the two requests that it needs by
// net/http, as https://developer.hashicorp.com/vault/api-docs/secret/transit has
// them:
//
//	POST /v1/<mount>/encrypt/<key>   {"plaintext", "associated_data"}
//	POST /v1/<mount>/decrypt/<key>   {"ciphertext", "associated_data"}
//
// The plaintext is the master key, 32 bytes, and the associated data the context,
// both as base64. What Wrap returns is the ciphertext as Vault gave it, such as
// "vault:v1:...", so that an operator can open it by hand. It names the version of
// the key: after a rotation it opens as long as the key's min_decryption_version
// allows.
//
// The key must be of a type that authenticates associated data (aes128-gcm96,
// aes256-gcm96, chacha20-poly1305) and not derived, and the server Vault 1.13 or
// later. An older one ignores the associated data silently, and would not open
// what it wrapped when it is updated; so Wrap asks for a decryption that must
// fail, which leaves one refused request in the audit log.
//
// A token needs "update" on both paths. One that has "create" on the first as well
// makes a new key when the name is mistyped.
//
// # Errors
//
// What Vault answers 400 to on decrypt is keystore.ErrWrongKey: another key,
// another context, or bytes that were changed. All else that goes wrong is one of
// the errors below and may be different the next time. Nothing is tried twice.
//
// No error shows the token or a key, also when what answers is not Vault and sends
// back what it was sent: the answer is shown only as far as it is Vault's list of
// errors, and a message in which one of them occurs is withheld.
package vault
