import { expect } from 'chai'
import { GroupActor, type SharedRuntime } from '../../../src/consumer/group/group-runtime.js'
import { silentLogger } from '../../../src/core/model.js'

class Harness {
  readonly told: unknown[] = []
  readonly handled: number[] = []
  onHandled: (message: number) => void = () => undefined
  readonly actor: GroupActor<number>
  #receive: (batch: unknown) => void = () => undefined

  constructor() {
    const spawnOwner = (_: string, { receive }: { receive(batch: unknown): void }) => {
      this.#receive = receive
      return { path: 'group', tell: (batch: unknown) => void this.told.push(batch), stop: () => undefined }
    }
    const shared = { system: { spawnOwner }, log: silentLogger } as unknown as SharedRuntime
    this.actor = new GroupActor('group', 'foo', shared, {
      receive: message => {
        this.handled.push(message)
        this.onHandled(message)
      },
      onCrash: () => undefined
    })
  }

  /** Handles everything, tick by tick; gives the messages of each tick. */
  ticks(): number[][] {
    const ticks: number[][] = []
    for (let batch = this.told.shift(); batch; batch = this.told.shift()) {
      this.#receive(batch)
      ticks.push(this.handled.splice(0))
    }
    return ticks
  }
}

describe('the actor of a group', () => {
  it('handles in one tick, in order, what came before it', () => {
    const harness = new Harness()
    for (let at = 0; at < 4; at++) harness.actor.tell(at)
    harness.actor.tick(() => harness.handled.push(4))
    expect(harness.ticks()).to.deep.equal([[0, 1, 2, 3, 4]])
  })

  it('handles in the next tick what comes while messages are handled, and not too many in any', () => {
    const harness = new Harness()
    harness.actor.tell(1)
    harness.onHandled = message => {
      if (message === 1) harness.actor.tell(2)
    }
    expect(harness.ticks()).to.deep.equal([[1], [2]])
    for (let at = 2; at < 2_502; at++) harness.actor.tell(at)
    expect(harness.ticks().map(({ length }) => length)).to.deep.equal([1_000, 1_000, 500])
  })
})
