import { createCipheriv, createHmac, timingSafeEqual } from 'node:crypto'
import { VarintReader, VarintWriter } from '../../core/varints.js'

/** A run of records of a request that were accepted. */
export interface AcceptedRun {
  /** The index of the first record in its request. */
  readonly index: number
  readonly count: number
}

/** Where the records of a receipt are kept: in the durable log, or in memory. */
export type ReceiptKind = 'disk' | 'memory'

/** The contents of a receipt's id. */
export interface ReceiptClaims {
  readonly kind: ReceiptKind
  /** The log, or the process, that gave the receipt: 16 hexadecimal digits. */
  readonly issuer: string
  /** On disk the sequence of the first accepted record in the log; in memory a counter. */
  readonly number: number
  /** Records of the request, refused ones included. */
  readonly count: number
  /** The accepted ones, in order. */
  readonly accepted: readonly AcceptedRun[]
}

export const ISSUER_BYTES = 8
/** The bytes of an issuer of memory that say where its process runs. The others are drawn again at each start. */
export const PLACE_BYTES = 3
const NUMBER_BYTES = 6
const TAG_BYTES = 12
const NUMBER_AT = 1 + ISSUER_BYTES
const COUNT_AT = NUMBER_AT + NUMBER_BYTES
/** Pads of the numbers behind it are made, too. */
const MAX_NUMBER = 2 ** (8 * NUMBER_BYTES) - 1_024
/** A request whose refused records are scattered so much that their places need more bytes than this has no receipt. */
const MAX_SHAPE_BYTES = 1_024
const VERSION = 0x10
const KINDS: readonly ReceiptKind[] = ['disk', 'memory']
const ID_TEXT = /^[A-Za-z0-9_-]{36,1500}$/
/** Pads are made for so many numbers at a time, because one call of the cipher costs more than the cipher itself. */
const PADS = 64
/** The same while numbers come one after another. */
const MAX_PADS = 512
const BLOCK_BYTES = 16
const MAX_KEPT_DIGESTS = 4_096

/** How many records a request has, and which of them were accepted. `undefined`: all. */
type ShapeOfRequest = Pick<ReceiptClaims, 'count'> & { readonly accepted?: readonly AcceptedRun[] | undefined }

/**
 * The secret that authenticates receipts.
 *
 *   tag = the first 96 bits of HMAC(principal, kind, shape) XOR AES(issuer, number)
 *
 * This is the construction of Wegman and Carter: each pair of issuer and number is used for one receipt only. Its two
 * halves cost little per receipt: the HMAC is kept for each client, and AES makes many pads at a time.
 */
export class ReceiptKey {
  readonly #padKey: Buffer
  readonly #digestKey: Buffer
  readonly #digests = new Map<string, Buffer>()

  constructor(secret: Uint8Array) {
    this.#padKey = createHmac('sha256', secret).update('castellan receipts 1: pads').digest()
    this.#digestKey = createHmac('sha256', secret).update('castellan receipts 1: claims').digest()
  }

  /** The pads of `count` numbers from `first` on, 16 bytes each. */
  pads(issuer: Uint8Array, first: number, count: number): Buffer {
    const blocks = Buffer.alloc(count * BLOCK_BYTES)
    for (let nth = 0; nth < count; nth++) {
      blocks.set(issuer, nth * BLOCK_BYTES)
      blocks.writeUIntBE(first + nth, (nth + 1) * BLOCK_BYTES - NUMBER_BYTES, NUMBER_BYTES)
    }
    const cipher = createCipheriv('aes-256-ecb', this.#padKey, null).setAutoPadding(false)
    return cipher.update(blocks)
  }

  digest(principal: string, kind: ReceiptKind, shape: Buffer): Buffer {
    const key = `${kind} ${shape.toString('hex')} ${principal}`
    let digest = this.#digests.get(key)
    if (digest === undefined) {
      digest = createHmac('sha256', this.#digestKey)
        .update(JSON.stringify([kind, shape.toString('hex'), principal]))
        .digest()
      if (this.#digests.size >= MAX_KEPT_DIGESTS) this.#digests.clear()
      this.#digests.set(key, digest)
    }
    return digest
  }

  /**
   * Reads an id.
   *
   * @returns `undefined`: no gateway with this secret has given it to one of these principals
   */
  open(text: string, principals: readonly string[]): ReceiptClaims | undefined {
    const bytes = ID_TEXT.test(text) ? Buffer.from(text, 'base64url') : undefined
    // Base64 has several texts for the same bytes.
    if (bytes === undefined || bytes.toString('base64url') !== text) return undefined
    const claims = readClaims(bytes)
    if (claims === undefined) return undefined
    const tagAt = bytes.length - TAG_BYTES
    const pad = this.pads(bytes.subarray(1, NUMBER_AT), claims.number, 1)
    const shape = bytes.subarray(COUNT_AT, tagAt)
    const isOf = (principal: string): boolean => {
      const tag = xor(this.digest(principal, claims.kind, shape), pad, 0)
      return timingSafeEqual(tag, bytes.subarray(tagAt))
    }
    // Compares with all of them, so that the time does not tell which one matches.
    return principals.map(isOf).includes(true) ? claims : undefined
  }
}

/** An id without its number and tag, and the digest of what it says. */
interface DraftId {
  readonly bytes: Buffer
  readonly digest: Buffer
}

/** Gives the receipts of one log, or of one process. */
export class ReceiptIssuer {
  readonly #key: ReceiptKey
  readonly #kind: ReceiptKind
  readonly #issuer: Buffer
  readonly #plain: Buffer
  #pads: Buffer
  #padsFrom = Number.NEGATIVE_INFINITY
  #padsTo = Number.NEGATIVE_INFINITY
  /** The id of the last request with all of its records. */
  #last: (DraftId & { readonly principal: string; readonly count: number }) | undefined

  constructor(key: ReceiptKey, kind: ReceiptKind, issuer: Uint8Array) {
    this.#key = key
    this.#kind = kind
    this.#issuer = Buffer.from(issuer)
    this.#pads = Buffer.alloc(0)
    this.#plain = Buffer.alloc(COUNT_AT)
    this.#plain[0] = VERSION | KINDS.indexOf(kind)
    this.#plain.set(issuer, 1)
  }

  /** 16 hexadecimal digits. */
  get id(): string {
    return this.#issuer.toString('hex')
  }

  /** @returns `undefined`: its refused records are too scattered */
  issue(principal: string, number: number, { count, accepted }: ShapeOfRequest): string | undefined {
    const { bytes, digest } =
      accepted === undefined ? this.#plainOf(principal, count) : this.#draft(principal, count, accepted)
    const tagAt = bytes.length - TAG_BYTES
    if (tagAt > COUNT_AT + MAX_SHAPE_BYTES || number > MAX_NUMBER) return undefined
    if (number < this.#padsFrom || number >= this.#padsTo) this.#makePads(number)
    bytes.writeUIntBE(number, NUMBER_AT, NUMBER_BYTES)
    const padAt = (number - this.#padsFrom) * BLOCK_BYTES
    for (let at = 0; at < TAG_BYTES; at++) bytes[tagAt + at] = digest[at]! ^ this.#pads[padAt + at]!
    return bytes.toString('base64url')
  }

  #makePads(number: number): void {
    const isNext = number === this.#padsTo
    const count = isNext ? Math.min(MAX_PADS, 2 * (this.#padsTo - this.#padsFrom)) : PADS
    this.#padsFrom = number
    this.#padsTo = number + count
    this.#pads = this.#key.pads(this.#issuer, number, count)
  }

  #plainOf(principal: string, count: number): DraftId {
    const last = this.#last
    if (last?.count === count && last.principal === principal) return last
    this.#last = { principal, count, ...this.#draft(principal, count, undefined) }
    return this.#last
  }

  #draft(principal: string, count: number, accepted: readonly AcceptedRun[] | undefined): DraftId {
    const shape = encodeShape(count, accepted)
    const bytes = Buffer.concat([this.#plain, shape, Buffer.alloc(TAG_BYTES)])
    return { bytes, digest: this.#key.digest(principal, this.#kind, shape) }
  }
}

/** The runs of indexes in a list of rising indexes. */
export function runsOf(indexes: readonly number[]): AcceptedRun[] {
  const runs: { index: number; count: number }[] = []
  for (const index of indexes) {
    const last = runs.at(-1)
    if (last !== undefined && last.index + last.count === index) last.count++
    else runs.push({ index, count: 1 })
  }
  return runs
}

/** How many records of a receipt were accepted. */
export const acceptedCount = ({ accepted }: ReceiptClaims): number =>
  accepted.reduce((sum, { count }) => sum + count, 0)

/** The number of records, then the lengths of runs in turn: accepted, refused, accepted, … as far as they matter. */
function encodeShape(count: number, accepted: readonly AcceptedRun[] | undefined): Buffer {
  const writer = new VarintWriter()
  writer.number(count)
  let end = 0
  for (const run of accepted ?? []) {
    if (end > 0 || run.index > 0) {
      if (end === 0) writer.number(0)
      writer.number(run.index - end)
    }
    writer.number(run.count)
    end = run.index + run.count
  }
  return writer.take()
}

function readClaims(bytes: Buffer): ReceiptClaims | undefined {
  const kind = (bytes[0]! & 0xf0) === VERSION ? KINDS[bytes[0]! & 0x0f] : undefined
  if (kind === undefined || bytes.length <= COUNT_AT + TAG_BYTES) return undefined
  try {
    const reader = new VarintReader(bytes.subarray(0, bytes.length - TAG_BYTES), COUNT_AT)
    const count = reader.number()
    const accepted = reader.isAtEnd ? [{ index: 0, count }] : readRuns(reader)
    const number = bytes.readUIntBE(NUMBER_AT, NUMBER_BYTES)
    return { kind, issuer: bytes.toString('hex', 1, NUMBER_AT), number, count, accepted }
  } catch {
    return undefined
  }
}

function readRuns(reader: VarintReader): AcceptedRun[] {
  const runs: AcceptedRun[] = []
  for (let index = 0, isAccepted = true; !reader.isAtEnd; isAccepted = !isAccepted) {
    const count = reader.number()
    if (isAccepted && count > 0) runs.push({ index, count })
    index += count
  }
  return runs
}

function xor(digest: Buffer, pads: Buffer, padAt: number): Buffer {
  const tag = Buffer.alloc(TAG_BYTES)
  for (let at = 0; at < TAG_BYTES; at++) tag[at] = digest[at]! ^ pads[padAt + at]!
  return tag
}
