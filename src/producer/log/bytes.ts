/** The same bytes as a Buffer: what crosses a thread arrives as a plain Uint8Array. */
export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
