/** A Buffer of the same memory: a Buffer from another thread, or of a program, may be a plain Uint8Array. */
export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A view of the bytes from `start` to `end`, without the latter. */
export type ViewOf = (start: number, end: number) => Buffer

/** What `subarray` makes. A loop that asks for it and for the memory once takes a quarter of the time. */
const View = Buffer[Symbol.species as never] as new (memory: ArrayBufferLike, at: number, length: number) => Buffer

/** Makes many views of the same bytes. */
export function viewsOf({ buffer, byteOffset }: Buffer): ViewOf {
  return (start, end) => new View(buffer, byteOffset + start, end - start)
}
