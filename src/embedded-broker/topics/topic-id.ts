import { randomBytes } from 'node:crypto'

/** No topic has it: "not told", or "there is none". */
export const NO_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA'

/** A random UUID (version 4) in the form in which Kafka prints ids: 22 characters that never begin with a dash. */
export function newTopicId(): string {
  for (;;) {
    const bytes = randomBytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const id = bytes.toString('base64url')
    if (!id.startsWith('-')) return id
  }
}
