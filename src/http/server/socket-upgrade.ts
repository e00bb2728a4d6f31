import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { UsedConnection } from '../engine/engine-user.js'
import type { Upgrade, UpgradedSocket, UpgradeOwner } from '../exchange/other-protocols.js'
import type { CountedRequest } from './counted-request.js'

/** The offer of a client to upgrade its connection, and the connection when it was taken. */
export class SocketUpgrade implements Upgrade, UpgradedSocket {
  readonly socket: Socket
  head: Buffer = Buffer.alloc(0)
  readonly #connection: UsedConnection
  readonly #request: CountedRequest
  readonly #onUpgraded: (owner: UpgradeOwner) => void

  constructor(connection: UsedConnection, request: CountedRequest, onUpgraded: (owner: UpgradeOwner) => void) {
    this.socket = connection.socket
    this.#connection = connection
    this.#request = request
    this.#onUpgraded = onUpgraded
  }

  take(owner: UpgradeOwner): UpgradedSocket | undefined {
    const head = this.#request.isAnswerBegun ? undefined : this.#connection.detach()
    if (head === undefined) return undefined
    this.head = head
    this.#request.upgraded(owner)
    this.#onUpgraded(owner)
    return this
  }

  hold(sizeBytes: number): OverloadedError | undefined {
    return this.#request.isOver ? undefined : this.#request.holder.take(this.#request, sizeBytes)
  }

  release(): void {
    this.#request.holder.give(this.#request)
  }
}
