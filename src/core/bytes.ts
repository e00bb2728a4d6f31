/** A Buffer of the same memory: a Buffer from another thread, or of a program, may be a plain Uint8Array. */
export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
