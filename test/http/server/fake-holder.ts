import { OverloadedError } from '../../../src/core/errors.js'
import type { BodyReader } from '../../../src/http/exchange/body-collector.js'
import type { OpenRequest, RequestHolder } from '../../../src/http/server/open-request.js'

export const noCapacity = new OverloadedError('no room')

/** A connection that has room for so many bytes, and writes down what it is told. */
export class FakeHolder implements RequestHolder {
  readonly address = { key: '10.0.0.1', connections: 1, bodyBytes: 0, requests: 0 }
  readonly told: string[] = []
  openRequests = 0
  /** The request that is broken. */
  broken: OpenRequest | undefined
  receiving: OpenRequest | undefined
  capacityBytes = 10_000

  isBroken(request: OpenRequest): boolean {
    return request === this.broken
  }
  begin(): void {
    this.told.push('begin')
  }
  end(): void {
    this.told.push('end')
  }
  take(_: OpenRequest, sizeBytes: number): OverloadedError | undefined {
    if (sizeBytes > this.capacityBytes) return noCapacity
    this.told.push(`take ${sizeBytes}`)
    return undefined
  }
  give(): void {
    this.told.push('give')
  }
  holdOnly(request: OpenRequest, sizeBytes: number): OverloadedError | undefined {
    this.give()
    return sizeBytes === 0 ? undefined : this.take(request, sizeBytes)
  }
  heldChanged({ isHeld }: OpenRequest): void {
    this.told.push(isHeld ? 'hold' : 'let go')
  }
  newly(): string[] {
    return this.told.splice(0)
  }
}

/** Writes down what it is told. */
export class Reader implements BodyReader {
  readonly told: string[] = []
  chunk(chunk: Buffer): void {
    this.told.push(`chunk ${chunk}`)
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
