import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { writeInt64 } from '../../kafka/record-batch-layout.js'
import type { Lock } from './share-locks.js'

export const GATEWAY_ID_BYTES = 12

const VERSION = 1
const AT_GATEWAY = 1
const AT_INCARNATION = AT_GATEWAY + GATEWAY_ID_BYTES
const INCARNATION_BYTES = 8
const KEY_BYTES = 32
const AT_TOPIC_ID = AT_INCARNATION + INCARNATION_BYTES
const AT_PARTITION = AT_TOPIC_ID + 16
const AT_OFFSET = AT_PARTITION + 4
const AT_DELIVERY_COUNT = AT_OFFSET + 8
const AT_ACQUISITION = AT_DELIVERY_COUNT + 2
const AT_MAC = AT_ACQUISITION + 4
const TOKEN_BYTES = AT_MAC + 16
const TOKEN_TEXT = /^[\w-]{95}$/
const MAX_COUNT = 0xffff

/** What a token says of a message. */
type TokenPlace = Pick<Lock, 'topicId' | 'partition' | 'offset' | 'deliveryCount'>

/**
 * Why a token is none of this process.
 *
 * - `lost`: it names this gateway, and a former process of it
 * - `elsewhere`: it names another gateway
 * - `invalid`: it was never given out for this topic and group
 */
type ForeignToken = 'lost' | 'elsewhere' | 'invalid'

/** How tokens name the process that gives them out. */
export interface TokenGiver {
  /** 12 bytes that the gateway has again when it is started again. */
  readonly gatewayId: Buffer
  /** 8 bytes that no other process of the gateway has. Absent: random ones. */
  readonly incarnation?: Buffer | undefined
  /** 32 bytes. */
  readonly key: Buffer
}

export interface TokensOptions extends TokenGiver {
  readonly cluster: string
}

/** Names a new process of the gateway. */
export function newTokenGiver(gatewayId: Buffer): TokenGiver {
  return { gatewayId, incarnation: randomBytes(INCARNATION_BYTES), key: randomBytes(KEY_BYTES) }
}

/**
 * The tokens of one gateway. They are no credentials: the MAC only tells what was never given out. 71 bytes, big-endian, as 95
 * characters of base64url:
 *
 *   version         u8   1
 *   gateway         12 bytes
 *   incarnation     8 bytes, of the process
 *   topic id        16 bytes
 *   partition       i32
 *   offset          i64
 *   delivery count  u16  65,535: that many or more
 *   acquisition     u32
 *   MAC             the first 16 bytes of the HMAC-SHA-256 of all that, the cluster, the topic and the group
 */
export class QueueTokens {
  readonly #gatewayId: Buffer
  readonly #mac: TokenMac
  readonly #incarnation: Buffer
  /** The next token. What is the same in most of them stays. */
  readonly #next = Buffer.alloc(TOKEN_BYTES)
  #topicId = ''
  readonly #expected = Buffer.alloc(TOKEN_BYTES - AT_MAC)

  constructor({ gatewayId, incarnation, key, cluster }: TokensOptions) {
    this.#gatewayId = gatewayId
    this.#incarnation = incarnation ?? randomBytes(INCARNATION_BYTES)
    this.#next[0] = VERSION
    this.#gatewayId.copy(this.#next, AT_GATEWAY)
    this.#incarnation.copy(this.#next, AT_INCARNATION)
    this.#mac = new TokenMac(key, cluster)
  }

  /** The process as {@link holderOfToken} names it. */
  get holder(): string {
    return Buffer.concat([this.#gatewayId, this.#incarnation]).toString('hex')
  }

  /** @param acquisition its number, which the process repeats only after 2^32 others */
  write(topic: string, groupId: string, one: TokenPlace, acquisition: number): string {
    const bytes = this.#next
    if (one.topicId !== this.#topicId) {
      this.#topicId = one.topicId
      bytes.fill(0, AT_TOPIC_ID, AT_PARTITION)
      bytes.write(one.topicId, AT_TOPIC_ID, AT_PARTITION - AT_TOPIC_ID, 'base64url')
    }
    bytes.writeInt32BE(one.partition, AT_PARTITION)
    writeInt64(bytes, one.offset, AT_OFFSET)
    bytes.writeUInt16BE(Math.min(one.deliveryCount, MAX_COUNT), AT_DELIVERY_COUNT)
    bytes.writeUInt32BE(acquisition, AT_ACQUISITION)
    bytes.write(this.#mac.of(bytes, topic, groupId), AT_MAC, 'latin1')
    return bytes.toString('base64url')
  }

  /** The number of the acquisition that a token of this process names. */
  acquisitionOf(topic: string, groupId: string, token: string): number | ForeignToken {
    const bytes = bytesOf(token)
    if (bytes === undefined) return 'invalid'
    if (!this.#isAsNext(bytes, AT_GATEWAY, AT_INCARNATION)) return 'elsewhere'
    // Each process has a key of its own.
    if (!this.#isAsNext(bytes, AT_INCARNATION, AT_TOPIC_ID)) return 'lost'
    this.#expected.write(this.#mac.of(bytes, topic, groupId), 'latin1')
    return timingSafeEqual(bytes.subarray(AT_MAC), this.#expected) ? bytes.readUInt32BE(AT_ACQUISITION) : 'invalid'
  }

  #isAsNext(bytes: Buffer, from: number, to: number): boolean {
    return bytes.compare(this.#next, from, to, from, to) === 0
  }
}

const BLOCK_BYTES = 64
const [INNER, OUTER] = [0x36, 0x5c]

/**
 * HMAC-SHA-256 (RFC 2104) by two calls of SHA-256: an object of `createHmac` for each token costs twice as much, and the garbage
 * collector more than that.
 */
class TokenMac {
  readonly #cluster: string
  readonly #outer: Buffer
  /** The padded key, the fields of a token, and the names of the last queue. */
  #inner: Buffer
  #topic: string | undefined
  #groupId: string | undefined

  /** @param key of 32 bytes */
  constructor(key: Buffer, cluster: string) {
    const padded = (byte: number, more: number): Buffer =>
      Buffer.concat([Buffer.alloc(BLOCK_BYTES, byte).map((one, at) => one ^ (key[at] ?? 0)), Buffer.alloc(more)])
    this.#cluster = cluster
    this.#inner = padded(INNER, AT_MAC)
    this.#outer = padded(OUTER, KEY_BYTES)
  }

  /** @returns the first 16 bytes, as characters */
  of(token: Buffer, topic: string, groupId: string): string {
    if (topic !== this.#topic || groupId !== this.#groupId) this.#name(topic, groupId)
    token.copy(this.#inner, BLOCK_BYTES, 0, AT_MAC)
    this.#outer.write(hash('sha256', this.#inner, 'binary'), BLOCK_BYTES, 'latin1')
    return hash('sha256', this.#outer, 'binary').slice(0, TOKEN_BYTES - AT_MAC)
  }

  #name(topic: string, groupId: string): void {
    // No text can take the place of its neighbour's end.
    const names = [this.#cluster, topic, groupId].map(text => `${Buffer.byteLength(text)}:${text}`)
    this.#inner = Buffer.concat([this.#inner.subarray(0, BLOCK_BYTES + AT_MAC), Buffer.from(names.join(''))])
    this.#topic = topic
    this.#groupId = groupId
  }
}

/** The process that a token names, in hexadecimal: gateway and incarnation. `undefined`: it is no token. */
export const holderOfToken = (token: string): string | undefined =>
  bytesOf(token)?.toString('hex', AT_GATEWAY, AT_TOPIC_ID)

/** The gateway of such a process. */
export const gatewayOfHolder = (holder: string): string => holder.slice(0, 2 * GATEWAY_ID_BYTES)

/** `undefined`: it is no token. Two texts never stand for the same bytes. */
function bytesOf(token: string): Buffer | undefined {
  if (!TOKEN_TEXT.test(token)) return undefined
  const bytes = Buffer.from(token, 'base64url')
  return bytes[0] === VERSION && bytes.toString('base64url') === token ? bytes : undefined
}
