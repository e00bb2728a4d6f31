import type { HttpGateway } from '../http-gateway.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import type { GroupProgress } from './group-progress.js'

const LOOK_EVERY_MS = 200
/** Members have joined again by then. */
const APART_MS = 2_500

/**
 * Stops one gateway after the other and starts it again, in the end, when a group is at rest and gets its last messages:
 * nobody who acknowledges what he is offered is offered it twice.
 */
export class RollingUpgrade implements Workload {
  readonly name = 'upgrade'
  readonly host: Host
  readonly counts = { upgraded: 0 }
  readonly isFinished = true
  readonly #gateways: readonly HttpGateway[]
  readonly #progress: GroupProgress

  constructor(host: Host, gateways: readonly HttpGateway[], progress: GroupProgress) {
    this.host = host
    this.#gateways = gateways
    this.#progress = progress
  }

  start(): void {}

  stop(): void {}

  check(): readonly Violation[] {
    return []
  }

  tryOnceMore(succeeded: () => void): void {
    const upgrade = (index: number): void => {
      const gateway = this.#gateways[index]
      if (gateway === undefined) return void succeeded()
      gateway.shutDown()!()
      this.counts.upgraded++
      this.#when(
        () => gateway.isThere,
        () => setTimeout(() => upgrade(index + 1), APART_MS)
      )
    }
    this.#when(
      () => this.#progress.isAtRest,
      () => setTimeout(() => upgrade(0), LOOK_EVERY_MS)
    )
  }

  #when(isSo: () => boolean, then: () => void): void {
    if (isSo()) then()
    else setTimeout(() => this.#when(isSo, then), LOOK_EVERY_MS)
  }
}
