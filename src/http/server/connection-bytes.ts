import type { OverloadedError } from '../../core/errors.js'
import type { WaitsFor } from '../engine/engine-user.js'
import type { AddressUse } from './client-addresses.js'
import type { OpenRequest } from './open-request.js'

/** A request, as far as its bytes are counted. */
export type CountedBody = Pick<OpenRequest, 'address' | 'heldBytes' | 'movedBytes' | 'isHeld'>

/** Grants the memory that all connections share. */
export interface BytesHost {
  /** Reserves memory for bytes of a body, or returns the error when there is none. */
  take(holder: Pick<OpenRequest, 'address' | 'heldBytes'>, sizeBytes: number): OverloadedError | undefined
  /** Whether an address may hold so many more bytes. */
  mayHold(address: AddressUse, sizeBytes: number): boolean
  /** Reserves memory for bytes that must wait, also a little more than there is; false: there is none at all. */
  takeBeyond(address: AddressUse, sizeBytes: number): boolean
  give(sizeBytes: number): void
  /** Reserves memory for bytes of requests that wait behind answers which the client does not read. */
  takeBehind(sizeBytes: number): boolean
  /** Like {@link takeBehind}, but ends no connection for it. */
  takeFreeBehind(sizeBytes: number): boolean
  giveBehind(sizeBytes: number): void
  /** Adds to the bytes that requests waiting to be admitted hold; negative: subtracts from them. */
  waits(sizeBytes: number): void
}

/**
 * Counts all bytes that one connection holds. Each byte is in one of four counts, and is reserved with the host once:
 *
 *                                          as memory of bodies   as memory behind unread answers
 *   bodies of open requests                held                  moved
 *   bytes of requests that have not begun  kept                  kept behind
 *
 * When the connection has ended, all counts are 0 and stay 0.
 */
export class ConnectionBytes {
  readonly #address: AddressUse
  readonly #host: BytesHost
  #held = 0
  #moved = 0
  #kept = 0
  #keptBehind = 0
  #hasEnded = false

  constructor(address: AddressUse, host: BytesHost) {
    this.#address = address
    this.#host = host
  }

  /** Bytes of bodies of open requests, but for those that were moved. */
  get held(): number {
    return this.#held
  }

  /** Bytes of bodies of open requests. */
  get ofOpenRequests(): number {
    return this.#held + this.#moved
  }

  /** Bytes that are reserved as memory of bodies. */
  get asBodies(): number {
    return this.#held + this.#kept
  }

  /** Bytes that are reserved as memory behind unread answers. */
  get behind(): number {
    return this.#moved + this.#keptBehind
  }

  /** Bytes of a body have come. @returns the error when there is no memory for them */
  take(body: CountedBody, sizeBytes: number): OverloadedError | undefined {
    if (this.#hasEnded) return undefined
    const refusal = this.#host.take(body, sizeBytes)
    if (refusal !== undefined) return refusal
    body.heldBytes += sizeBytes
    this.#held += sizeBytes
    this.#address.bodyBytes += sizeBytes
    if (body.isHeld) this.#host.waits(sizeBytes)
    // The host may have ended this connection to make capacity.
    if (this.#hasEnded) this.give(body)
    return undefined
  }

  /** Releases all bytes of a body. */
  give(body: CountedBody): void {
    this.#giveMoved(body, body.movedBytes)
    this.#giveHeld(body)
  }

  /** Counts this many bytes of a body in place of all that have come. Those that were moved stay so, as far as they go. */
  holdOnly(body: CountedBody, sizeBytes: number): OverloadedError | undefined {
    const staysBytes = Math.min(body.movedBytes, sizeBytes)
    this.#giveMoved(body, body.movedBytes - staysBytes)
    this.#giveHeld(body)
    return sizeBytes === staysBytes ? undefined : this.take(body, sizeBytes - staysBytes)
  }

  /** Moves the bytes of a body to the memory behind unread answers. @returns whether there was memory for it */
  moveBehind(body: CountedBody): boolean {
    const bytes = body.heldBytes
    if (bytes === 0) return true
    if (!this.#host.takeFreeBehind(bytes)) return false
    this.#giveHeld(body)
    body.movedBytes += bytes
    this.#moved += bytes
    this.#address.bodyBytes += bytes
    return true
  }

  #giveHeld(body: CountedBody): void {
    const bytes = body.heldBytes
    if (bytes === 0) return
    body.heldBytes = 0
    this.#held -= bytes
    this.#address.bodyBytes -= bytes
    this.#host.give(bytes)
    if (body.isHeld) this.#host.waits(-bytes)
  }

  #giveMoved(body: CountedBody, bytes: number): void {
    if (bytes === 0) return
    body.movedBytes -= bytes
    this.#moved -= bytes
    this.#address.bodyBytes -= bytes
    this.#host.giveBehind(bytes)
  }

  /** The request of a body begins to wait for its admission, or has waited. */
  waitChanged({ isHeld, heldBytes }: CountedBody): void {
    this.#host.waits(isHeld ? heldBytes : -heldBytes)
  }

  /**
   * Sets the number of bytes of requests that have not begun, and for what they wait.
   *
   * @returns whether there is memory
   */
  keep(sizeBytes: number, waitsFor: WaitsFor): boolean {
    this.#giveKept()
    if (sizeBytes === 0 || this.#hasEnded) return true
    const isBehind = waitsFor === 'client'
    if (!(isBehind ? this.#reserveBehind(sizeBytes) : this.#reserveAsBody(sizeBytes, waitsFor))) return false
    if (isBehind) this.#keptBehind = sizeBytes
    else this.#kept = sizeBytes
    this.#address.bodyBytes += sizeBytes
    // The host may have ended this connection to make capacity.
    if (this.#hasEnded) this.#giveKept()
    return true
  }

  #reserveBehind(sizeBytes: number): boolean {
    return this.#host.mayHold(this.#address, sizeBytes) && this.#host.takeBehind(sizeBytes)
  }

  #reserveAsBody(sizeBytes: number, waitsFor: WaitsFor): boolean {
    const address = this.#address
    if (this.#host.take({ address, heldBytes: 0 }, sizeBytes) === undefined) return true
    return waitsFor === 'gateway' && this.#host.takeBeyond(address, sizeBytes)
  }

  #giveKept(): void {
    if (this.#kept > 0) this.#host.give(this.#kept)
    if (this.#keptBehind > 0) this.#host.giveBehind(this.#keptBehind)
    this.#address.bodyBytes -= this.#kept + this.#keptBehind
    this.#kept = this.#keptBehind = 0
  }

  /** The connection has ended, and its requests have released their bodies. Nothing is counted any more. */
  end(): void {
    this.#giveKept()
    this.#hasEnded = true
  }
}
