import { once } from 'node:events'
import { connect } from 'node:net'

const CONSUMER_GROUP_HEARTBEAT = 68
const SHARE_GROUP_HEARTBEAT = 76
const WAIT_MS = 10_000

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff])
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
/** A string of a flexible version, shorter than 127 bytes. */
const compact = (text: string): Buffer => Buffer.from([text.length + 1, ...Buffer.from(text)])
const absent = Buffer.of(0)
const noTags = Buffer.of(0)

export interface Heartbeat {
  readonly groupId: string
  readonly topic: string
  readonly memberId: string
}

/** The first heartbeat of a member of a group of a newer kind: KIP-848 (`consumer`) or KIP-932 (`share`), sent to one broker. */
export async function joinBy(
  kind: 'consumer' | 'share',
  port: number,
  { groupId, topic, memberId }: Heartbeat
): Promise<{ readonly errorCode: number; readonly message: string }> {
  const isShare = kind === 'share'
  const topics = Buffer.concat([Buffer.of(2), compact(topic)])
  const joining = int32(0)
  const rebalanceTimeoutMs = int32(30_000)
  const body = isShare
    ? [compact(groupId), compact(memberId), joining, absent, topics]
    : [compact(groupId), compact(memberId), joining, absent, absent, rebalanceTimeoutMs, topics]
  // Of KIP-848: no regular expression, no assignor; and no partitions so far.
  if (!isShare) body.push(absent, absent, Buffer.of(1))
  const clientId = Buffer.concat([int16(4), Buffer.from('test')])
  const apiKey = isShare ? SHARE_GROUP_HEARTBEAT : CONSUMER_GROUP_HEARTBEAT
  const request = Buffer.concat([int16(apiKey), int16(1), int32(1), clientId, noTags, ...body, noTags])

  const socket = connect(port, '127.0.0.1').setTimeout(WAIT_MS, () => socket.destroy(new Error('no answer')))
  socket.on('end', () => socket.destroy(new Error('the broker has closed the connection')))
  try {
    socket.write(Buffer.concat([int32(request.length), request]))
    let answer = Buffer.alloc(0)
    while (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) {
      const [chunk] = (await once(socket, 'data')) as [Buffer]
      answer = Buffer.concat([answer, chunk])
    }
    // Length, correlation id, tags, time of throttling.
    const errorCode = answer.readInt16BE(13)
    const length = answer.readUInt8(15)
    // Longer ones have a second byte.
    const [start, bytes] = length < 128 ? [16, length] : [17, (length & 0x7f) + 128 * answer.readUInt8(16)]
    return { errorCode, message: answer.toString('utf8', start, start + Math.max(bytes - 1, 0)) }
  } finally {
    socket.destroy()
  }
}
