/**
 * Splits bytes into lines without line feeds; the last line may lack one. The bytes are not decoded.
 *
 * @param maxBytes a longer line ends the reading with a RangeError
 * @returns the lines of each chunk, so that they can be handled before the next chunk comes
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer | string>,
  maxBytes: number = Number.POSITIVE_INFINITY
): AsyncGenerator<readonly Buffer[], void, undefined> {
  let pieces: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    const lines: Buffer[] = []
    let rest = Buffer.from(chunk)
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.subarray(0, end)
      lines.push(pieces.length === 0 ? line : Buffer.concat([...pieces, line]))
      pieces = []
      heldBytes = 0
      rest = rest.subarray(end + 1)
    }
    if (rest.length > 0) pieces.push(rest)
    heldBytes += rest.length
    if (lines.length > 0) yield lines
    if (heldBytes > maxBytes) throw new RangeError(`a line is longer than ${maxBytes} bytes`)
  }
  if (pieces.length > 0) yield [Buffer.concat(pieces)]
}
