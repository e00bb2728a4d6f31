/**
 * The module whose source is control-bytes.wat, in base64. The command that makes it:
 *
 *   npx wat2wasm src/core/json/control-bytes.wat -o control-bytes.wasm && base64 -w 0 control-bytes.wasm
 *
 * A test compares the two.
 */
export const CONTROL_BYTES_WASM =
  'AGFzbQEAAAABBgFgAX8BfwMCAQAFAwEAAQcJAgFtAgABZgAACmgBZgIBfwF7/Qz/////////////////////IQIDQCACIAH9AAAA/XcgAf0AABD9dyAB/QAAIP13IAH9AAAw/XchAiABQcAAaiIBIABJDQALIAL9DCAgICAgICAgICAgICAgICD9Jv1TCw=='
