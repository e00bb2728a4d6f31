/** Lines without their ends; the last one may lack its own. Bytes stay as they are. */
export async function* lines(chunks: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer, void, undefined> {
  let pieces: Buffer[] = []
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk)
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      yield withoutReturn(Buffer.concat([...pieces, rest.subarray(0, end)]))
      pieces = []
      rest = rest.subarray(end + 1)
    }
    if (rest.length > 0) pieces.push(rest)
  }
  if (pieces.length > 0) yield withoutReturn(Buffer.concat(pieces))
}

const CARRIAGE_RETURN = 0x0d
const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line)
