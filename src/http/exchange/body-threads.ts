import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'
import { OverloadedError } from '../../core/errors.js'
import { Places } from '../../core/places.js'
import { Shares } from '../../core/shares.js'

/** A decoded body, and how many bytes of the original were used. */
export interface UnpackedBody {
  readonly buffer: Buffer
  readonly readBytes: number
}

/** Makes a decoder of Node. Its types leave out `bytesWritten`. */
export type MakeDecoder = (options: { readonly chunkSize: number }) => Transform & { readonly bytesWritten: number }

/**
 * Decodes a body away from the loop.
 *
 * @param isWanted false: the client has left, and the outcome is of no use
 * @returns `undefined`: it becomes more than `maxBytes`, or is not wanted
 * @throws what is wrong with the body
 */
export type Decode = (
  make: MakeDecoder,
  bytes: Buffer,
  maxBytes: number,
  isWanted: () => boolean
) => Promise<UnpackedBody | undefined>

/** A body that is handed on later. */
export interface LateBody {
  readonly response: ServerResponse
  /** The client; `undefined`: its use is not counted. */
  readonly address: { readonly key: string } | undefined
  /** Valid until the call returns. */
  readonly bytes: Buffer
  /** How long it may wait for a thread, in milliseconds. */
  readonly waitMs: number
  /** Called when it has a thread. @param bytes last as long as the promise */
  endByThread(bytes: Buffer, decode: Decode): Promise<void>
  refuse(refusal: OverloadedError): void
}

/** Threads are shared with files and the durable log. The windows of two bodies, and what they become, fit into 64 MiB. */
const MAX_RUNNING = 2
/** Limit of the bodies that wait or are being decoded; one address gets about half. */
const MAX_BYTES = 64 * 1024 * 1024
/** Memory of a waiting body besides its bytes: its request, its timer and all that belongs to them. */
const WAITING_BYTES = 8 * 1024
const FULL = new OverloadedError('too many bodies wait to be decoded')

/** The bodies of one process that wait for a thread. Addresses take turns. A client that leaves frees its place at once. */
export class BodyThreads {
  readonly #decode: Decode
  readonly #memory = new Shares(MAX_BYTES, 'bytes of bodies that wait to be decoded')
  readonly #threads = new Places<object>(() => MAX_RUNNING, 'threads for bodies')

  constructor(decode: Decode = decodeByThread) {
    this.#decode = decode
  }

  /** Bodies that wait for a thread. */
  get waiting(): number {
    return this.#threads.waiting
  }
  get running(): number {
    return this.#threads.taken
  }
  /** Memory of the bodies that are not handed on yet, with their requests and timers. */
  get heldBytes(): number {
    return this.#memory.taken
  }

  /** Refuses the body at once, or calls its other methods later; none of them once its client has left. */
  add(body: LateBody): void {
    const { response, address, waitMs } = body
    const heldBytes = body.bytes.length + WAITING_BYTES
    if (this.#memory.problemOf(address?.key, heldBytes) !== undefined) {
      body.refuse(FULL)
      return
    }
    const give = this.#memory.take(address?.key, heldBytes)
    const bytes = Buffer.from(body.bytes)
    const endWait = (): void => {
      clearTimeout(timer)
      response.off('close', left)
    }
    const left = (): void => {
      endWait()
      leave()
      give()
    }
    const timer = setTimeout(() => {
      left()
      body.refuse(FULL)
    }, waitMs)
    response.once('close', left)
    const leave = this.#threads.enter(address ?? response, release => {
      endWait()
      body
        .endByThread(bytes, this.#decode)
        .catch(error => response.destroy(error))
        .finally(() => {
          release()
          give()
        })
    })
  }
}

const PIECE_BYTES = 64 * 1024
/** Pieces are joined so many bytes at a time: joining 16 MiB at once holds the loop for more than 20 ms. */
const JOINED_BYTES = 1024 * 1024

async function decodeByThread(
  make: MakeDecoder,
  bytes: Buffer,
  maxBytes: number,
  isWanted: () => boolean
): Promise<UnpackedBody | undefined> {
  const decoder = make({ chunkSize: PIECE_BYTES })
  const pieces: Buffer[] = []
  let length = 0
  await new Promise<void>((resolve, reject) => {
    decoder.on('data', (piece: Buffer) => {
      length += piece.length
      // No thread works for it at this moment.
      if (length > maxBytes || !isWanted()) decoder.destroy()
      else pieces.push(piece)
    })
    decoder.on('error', reject)
    decoder.on('close', resolve)
    decoder.end(bytes)
  })
  if (length > maxBytes || !isWanted()) return undefined
  return { buffer: await joined(pieces, length), readBytes: decoder.bytesWritten }
}

async function joined(pieces: readonly Buffer[], length: number): Promise<Buffer> {
  if (pieces.length === 1) return pieces[0]!
  const whole = Buffer.allocUnsafeSlow(length)
  let at = 0
  let inTurn = 0
  for (const piece of pieces) {
    if (inTurn >= JOINED_BYTES) {
      await new Promise<void>(resolve => setImmediate(resolve))
      inTurn = 0
    }
    inTurn += piece.length
    at += piece.copy(whole, at)
  }
  return whole
}
