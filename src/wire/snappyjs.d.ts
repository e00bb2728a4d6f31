declare module 'snappyjs' {
  const snappy: {
    compress(bytes: Buffer): Buffer
    /** @throws when the stream is damaged or claims more than `maxLength` bytes */
    uncompress(bytes: Buffer, maxLength?: number): Buffer
  }
  export default snappy
}
