/**
 * A self-signed certificate for localhost and 127.0.0.1, and its key: for tests only, good from 2020 to 2120. Made by
 * `openssl ca -selfsign` (P-256, subjectAltName DNS:localhost,IP:127.0.0.1), which can be told the dates.
 */
export const testKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcq0PxUGlx9I2ra8G
Yp/ZSnmJrBB4q4XTf6HOKAEhSgihRANCAATbylUPhiSLtz0juBX8Qk2sg5yLgbSU
H8TXq0/x7IVOprp8mMv8kYfLEFQrCYf8PLfVrpI+tUt8Hf8InAcVIslY
-----END PRIVATE KEY-----
`

export const testCertificate = `-----BEGIN CERTIFICATE-----
MIIBcDCCARegAwIBAgIBATAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5jYXN0ZWxs
YW4gdGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwOY2FzdGVsbGFuIHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATb
ylUPhiSLtz0juBX8Qk2sg5yLgbSUH8TXq0/x7IVOprp8mMv8kYfLEFQrCYf8PLfV
rpI+tUt8Hf8InAcVIslYo04wTDAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEw
DwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUJWRY+zGvgZnYzT3mbHsw3589JdAw
CgYIKoZIzj0EAwIDRwAwRAIgUTIjEp9yJTM0hYMmNu1se4/QmjGqbDJz4AAoO/E/
Tv8CIDC9KOeWo35Awmwmo71Ov3gMUObiVWB8n5iXk1rJg1Eu
-----END CERTIFICATE-----
`
