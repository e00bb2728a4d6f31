import { OverloadedError } from '../../../src/core/errors.js'
import type { BodyReader } from '../../../src/http/exchange/body-collector.js'
import type { CountedRequest, RequestHolder } from '../../../src/http/server/counted-request.js'

export const noCapacity = new OverloadedError('no room')

/** A connection that has room for so many bytes, and writes down what it is told. */
export class FakeHolder implements RequestHolder {
  readonly address = { key: '10.0.0.1', connections: 1, bodyBytes: 0, requests: 0 }
  readonly told: string[] = []
  openRequests = 0
  /** The request that is broken. */
  broken: CountedRequest | undefined
  receiving: CountedRequest | undefined
  silence: undefined
  capacityBytes = 10_000

  isBroken(request: CountedRequest): boolean {
    return request === this.broken
  }
  begin(): void {
    this.told.push('begin')
  }
  end(): void {
    this.told.push('end')
  }
  changed(): void {
    this.told.push('changed')
  }
  take(request: CountedRequest, sizeBytes: number): OverloadedError | undefined {
    if (sizeBytes > this.capacityBytes) return noCapacity
    request.heldBytes += sizeBytes
    this.told.push(`take ${sizeBytes}`)
    return undefined
  }
  give(): void {
    this.told.push('give')
  }
  discards(sizeBytes: number): void {
    this.told.push(`discard ${sizeBytes}`)
  }
  heldChanged(isHeld: boolean): void {
    this.told.push(isHeld ? 'hold' : 'let go')
  }
  newly(): string[] {
    return this.told.splice(0)
  }
}

/** Writes down what it is told. */
export class Reader implements BodyReader {
  readonly told: string[] = []
  chunk(chunk: Buffer, lasts = true): void {
    this.told.push(`${lasts ? 'lasting' : 'passing'} chunk ${chunk}`)
  }
  end(): void {
    this.told.push('end')
  }
  failed(error: Error): void {
    this.told.push(`failed: ${error.message}`)
  }
  closed(): void {
    this.told.push('closed')
  }
}
