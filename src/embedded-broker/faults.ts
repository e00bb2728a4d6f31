import { errorCodes } from '../kafka/error-codes.js'
import type { ApiName, Fault, FaultAction, FaultMatch, Faults } from './embedded-cluster.js'
import { checkFault } from './fault-options.js'

/** A topic and partition in a request. Without a partition, it is the whole topic. */
export interface FaultTarget {
  readonly topic: string
  readonly partition?: number
}

const NO_ERROR = errorCodes.NONE

type TransportAction = Exclude<FaultAction, { type: 'error' | 'errorAfter' | 'delay' }>

export interface FaultEffects {
  /** Delays before the work, and between the work and its answer. */
  readonly delayMs: number
  readonly answerDelayMs: number
  readonly transport: TransportAction | undefined
  /** The error code to answer without doing the work; 0: no error. */
  before(topic?: string, partition?: number): number
  /** The error code to answer although the work was done; 0: no error. */
  after(topic?: string, partition?: number): number
}

export const noEffects: FaultEffects = {
  delayMs: 0,
  answerDelayMs: 0,
  transport: undefined,
  before: () => 0,
  after: () => 0
}

class ArmedFault implements Fault {
  readonly match: FaultMatch
  readonly action: FaultAction
  readonly #removed: (fault: ArmedFault) => void
  readonly #waiting: { readonly times: number; readonly resolve: () => void }[] = []
  #fired = 0
  #skipped = 0

  constructor(match: FaultMatch, action: FaultAction, removed: (fault: ArmedFault) => void) {
    this.match = match
    this.action = action
    this.#removed = removed
  }

  get fired(): number {
    return this.#fired
  }

  whenFired(times = 1): Promise<void> {
    if (this.#fired >= times) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push({ times, resolve }))
  }

  remove(): void {
    this.#removed(this)
  }

  covers(topic?: string, partition?: number): boolean {
    return (
      (this.match.topic === undefined || this.match.topic === topic) &&
      (this.match.partition === undefined || this.match.partition === partition)
    )
  }

  covered(targets: readonly FaultTarget[]): readonly (FaultTarget | undefined)[] {
    if (this.match.topic !== undefined || this.match.partition !== undefined) {
      return targets.filter(({ topic, partition }) => this.covers(topic, partition))
    }
    return targets.length > 0 ? targets : [undefined]
  }

  /** Counts a matching request. Returns false when the fault lets the request pass. */
  fires(): boolean {
    if (this.#skipped < (this.match.skip ?? 0)) {
      this.#skipped++
      return false
    }
    this.#fired++
    if (this.#fired >= (this.match.count ?? 1)) this.#removed(this)
    for (const { times, resolve } of this.#waiting) if (this.#fired >= times) resolve()
    return true
  }
}

/**
 * The active faults, in the order in which they were added. Delays add up. Among the other faults, only the first
 * matching fault affects a partition. So with a fault `7` and a fault `19`, one request is answered 7 and the next
 * request 19.
 */
export class FaultTable implements Faults {
  #armed: ArmedFault[] = []

  add(match: FaultMatch, action: FaultAction): Fault {
    checkFault(match, action)
    const fault = new ArmedFault(match, action, gone => {
      this.#armed = this.#armed.filter(other => other !== gone)
    })
    this.#armed.push(fault)
    return fault
  }

  clear(): void {
    this.#armed = []
  }

  judge(api: ApiName, nodeId: number, targetsOf: () => readonly FaultTarget[]): FaultEffects {
    if (this.#armed.length === 0) return noEffects
    const candidates = this.#armed.filter(
      ({ match }) => match.api === api && (match.nodeId === undefined || match.nodeId === nodeId)
    )
    return candidates.length === 0 ? noEffects : judgeRequest(candidates, targetsOf())
  }
}

function judgeRequest(candidates: readonly ArmedFault[], targets: readonly FaultTarget[]): FaultEffects {
  let delayMs = 0
  let answerDelayMs = 0
  let transport: TransportAction | undefined
  const errors: ArmedFault[] = []
  for (const fault of candidates) {
    const { action } = fault
    const covered = fault.covered(targets)
    if (covered.length === 0) continue
    if (action.type === 'delay') {
      if (!fault.fires()) continue
      if (action.afterWork) answerDelayMs += action.delayMs
      else delayMs += action.delayMs
      continue
    }
    const free = covered.some(target => !errors.some(taken => taken.covers(target?.topic, target?.partition)))
    if (transport || !free || !fault.fires()) continue
    if (action.type === 'error' || action.type === 'errorAfter') errors.push(fault)
    else transport = action
  }
  const codeOf = (type: 'error' | 'errorAfter') => (topic?: string, partition?: number) => {
    const action = errors.find(fault => fault.covers(topic, partition))?.action
    return action?.type === type ? action.errorCode : NO_ERROR
  }
  return { delayMs, answerDelayMs, transport, before: codeOf('error'), after: codeOf('errorAfter') }
}
