import { expect } from 'chai'
import { ActorSystem, ask, type Requester } from '../../../src/core/actor/actor.js'
import { TimedOutError } from '../../../src/core/errors.js'
import { turns } from '../../support/ticks.js'

describe('actor', () => {
  let system: ActorSystem
  beforeEach(() => (system = new ActorSystem()))
  afterEach(() => system.stop())

  it('gives its owner what it has not handled when it is stopped, also of the tick in which it is', async () => {
    const handled: string[] = []
    const unhandled: string[] = []
    const ref = system.spawnOwner<string>('stopped', {
      receive: (message, self) => {
        handled.push(message)
        if (message === 'b') self.tell('e')
        if (message === 'b') self.stop()
      },
      onCrash: error => {
        throw error
      },
      onStopped: messages => void unhandled.push(...messages)
    })
    for (const message of ['a', 'b', 'c', 'd']) ref.tell(message)
    await turns(3)
    expect([handled, unhandled]).to.deep.equal([
      ['a', 'b'],
      ['c', 'd', 'e']
    ])
  })

  it('decides purely, then does, in order', async () => {
    const done: string[] = []
    const ref = system.spawn<number, 'add', string>('counter', {
      initial: 0,
      transition: count => [count + 1, [`was ${count}`, `is ${count + 1}`]],
      run: effect => done.push(effect),
      onCrash: error => {
        throw error
      }
    })
    ref.tell('add')
    ref.tell('add')
    expect(done).to.deep.equal([])
    await turns(2)
    expect(done).to.deep.equal(['was 0', 'is 1', 'was 1', 'is 2'])
  })

  it('handles all that was told before a turn in that turn, and what it is told meanwhile in the next', async () => {
    let turn = 0
    const handled: [number, number][] = []
    const ref = system.spawnOwner<number>('echo', {
      receive: (message, self) => {
        handled.push([message, turn])
        if (message === 1) self.tell(100)
      },
      onCrash: () => {}
    })
    for (let message = 1; message <= 3; message++) ref.tell(message)
    for (turn = 1; turn <= 4; turn++) await turns(1)
    const turnOf = (message: number): number => handled.find(([told]) => told === message)![1]
    expect(handled.map(([message]) => message)).to.deep.equal([1, 2, 3, 100])
    expect(turnOf(2)).to.equal(turnOf(1))
    expect(turnOf(3)).to.equal(turnOf(1))
    expect(turnOf(100)).to.be.greaterThan(turnOf(1))
  })

  it('a crash stops it, and hands over the message and everything not yet handled', async () => {
    const crashes: unknown[][] = []
    const handled: string[] = []
    const ref = system.spawnOwner<string>('fragile', {
      receive: message => {
        if (message === 'boom') {
          ref.tell('told meanwhile')
          throw new Error('a bug')
        }
        handled.push(message)
      },
      onCrash: (error, message, unhandled) => crashes.push([error.message, message, [...unhandled]])
    })
    for (const message of ['one', 'boom', 'two', 'three']) ref.tell(message)
    await turns(3)
    ref.tell('too late')
    await turns(3)
    expect(handled).to.deep.equal(['one'])
    expect(crashes).to.deep.equal([['a bug', 'boom', ['two', 'three', 'told meanwhile']]])
  })

  it('handles what it is told soon, and all before it, in this turn', async () => {
    const handled: string[] = []
    const ref = system.spawnOwner<string>('soon', { receive: message => handled.push(message), onCrash: () => {} })
    ref.tell('one')
    ref.tellSoon('two')
    ref.tell('three')
    expect(handled).to.deep.equal([])
    await new Promise<void>(resolve => process.nextTick(resolve))
    expect(handled).to.deep.equal(['one', 'two', 'three'])
    await turns(3)
    ref.tell('four')
    await turns(3)
    expect(handled).to.deep.equal(['one', 'two', 'three', 'four'])
  })

  it('a crash by what it was told soon hands over the same, also where it is stopped in that turn', async () => {
    const crashes: unknown[][] = []
    const ref = system.spawnOwner<string>('fragile', {
      receive: message => {
        if (message === 'boom') throw new Error('a bug')
      },
      onCrash: (error, message, unhandled) => crashes.push([error.message, message, [...unhandled]])
    })
    ref.tellSoon('boom')
    ref.tell('two')
    await new Promise<void>(resolve => process.nextTick(resolve))
    ref.stop()
    ref.tellSoon('too late')
    await turns(3)
    expect(crashes).to.deep.equal([['a bug', 'boom', ['two']]])
  })

  it('is never told more once it has stopped', async () => {
    const handled: string[] = []
    const ref = system.spawnOwner<string>('short', { receive: message => handled.push(message), onCrash: () => {} })
    ref.tell('dropped')
    ref.tellSoon('dropped')
    ref.stop()
    ref.stop()
    ref.tell('dropped, too')
    ref.tellSoon('dropped, too')
    await turns(3)
    expect(handled).to.deep.equal([])
  })

  it('stopping itself leaves the rest of the turn undone', async () => {
    const handled: string[] = []
    const ref = system.spawnOwner<string>('quitter', {
      receive: (message, self) => {
        handled.push(message)
        self.stop()
      },
      onCrash: () => {}
    })
    ref.tell('one')
    ref.tell('two')
    await turns(3)
    expect(handled).to.deep.equal(['one'])
  })

  it('takes any name, more than once', () => {
    const logic = { receive() {}, onCrash() {} }
    const paths = ['broker/1: fetch', 'broker/1: fetch', '__proto__'].map(name => system.spawnOwner(name, logic).path)
    expect(new Set(paths).size).to.equal(3)
  })

  it('the end of the system is the end of every actor', async () => {
    const handled: string[] = []
    const ref = system.spawnOwner<string>('one', { receive: message => handled.push(message), onCrash: () => {} })
    system.stop()
    ref.tell('dropped')
    await turns(3)
    expect(handled).to.deep.equal([])
  })
})

describe('ask', () => {
  it('gives the first reply', async () => {
    const reply = await ask<number>('sum', 1_000, requester => {
      requester.reply(1)
      requester.reply(2)
    })
    expect(reply).to.equal(1)
  })

  it('fails by name when no reply comes', async () => {
    const error = await ask<number>('sum', 5, () => {}).catch((caught: unknown) => caught)
    expect(error).to.be.instanceOf(TimedOutError)
    expect((error as Error).message)
      .to.contain('sum')
      .and.to.contain('5 ms')
  })

  it('fails when the question cannot be put', async () => {
    const error = await ask<number>('sum', 1_000, (): void => {
      throw new Error('no way')
    }).catch((caught: Error) => caught.message)
    expect(error).to.equal('no way')
  })

  it('is typed: a requester of one result is none of another', () => {
    const ofNumbers: Requester<number> = { reply() {} }
    // @ts-expect-error a requester of numbers cannot be told text
    const ofText: Requester<string> = ofNumbers
    expect(ofText).to.equal(ofNumbers)
  })
})
