import { expect } from 'chai'
import { CallTurns, MAX_CALLS, MAX_CALLS_OF_CLIENT, MAX_TURN_WAIT_MS } from '../../../src/apis/mcp/call-turns.js'
import { ToolError } from '../../../src/apis/mcp/failures.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

describe('turns of calls of tools', () => {
  let time: FakeTime
  beforeEach(() => {
    time = new FakeTime()
  })
  const signal = new AbortController().signal
  /** What ends the calls that have begun. */
  let open: (() => void)[] = []
  afterEach(() => {
    for (const end of open) end()
    open = []
    time.restore()
  })
  const enter = async (calls: CallTurns, client: string, by = signal): Promise<() => void> => {
    const end = await calls.enter(client, by)
    open.push(end)
    return end
  }
  const codeOf = (error: unknown): string => (error instanceof ToolError ? error.code : String(error))

  /** Takes all places. @returns what ends each call */
  const full = (calls: CallTurns): Promise<(() => void)[]> =>
    Promise.all(Array.from({ length: MAX_CALLS }, (_, at) => enter(calls, `c${Math.floor(at / MAX_CALLS_OF_CLIENT)}`)))

  /** Notes who begins, in its order. */
  function asking(calls: CallTurns) {
    const begun: string[] = []
    const ask = (client: string, name = client, by = signal): Promise<void> =>
      enter(calls, client, by).then(
        () => void begun.push(name),
        error => void begun.push(`${name} ${codeOf(error)}`)
      )
    return { begun, ask }
  }

  it('refuse a client that has four, and let it go on when one has ended', async () => {
    const calls = new CallTurns()
    const ends = await Promise.all(Array.from({ length: MAX_CALLS_OF_CLIENT }, () => enter(calls, 'a')))
    expect(await enter(calls, 'a').catch(codeOf)).to.equal('tooManyCalls')
    await enter(calls, 'b')
    ends[0]!()
    ends[0]!()
    await enter(calls, 'a')
    expect(await enter(calls, 'a').catch(codeOf)).to.equal('tooManyCalls')
  })

  it('pass a place on to the client whose turn it is', async () => {
    const calls = new CallTurns()
    const ends = await full(calls)
    const { begun, ask } = asking(calls)
    void ask('x', 'x1')
    void ask('x', 'x2')
    void ask('y', 'y1')
    await turns(2)
    expect(begun).to.deep.equal([])
    for (const end of ends.slice(0, 3)) end()
    // Comes when the places have their owners already.
    void ask('z', 'z1')
    await turns(2)
    expect(begun).to.deep.equal(['x1', 'y1', 'x2'])
  })

  it('end a wait that is too long, and that of a client that has left; their places are free', async () => {
    const calls = new CallTurns()
    const ends = await full(calls)
    const { begun, ask } = asking(calls)
    const left = new AbortController()
    void ask('x')
    void ask('y', 'y', left.signal)
    left.abort(new ToolError('aborted'))
    await time.pass(MAX_TURN_WAIT_MS + 5, 500)
    expect(begun).to.deep.equal(['y aborted', 'x overloaded'])
    expect(time.timers).to.equal(0)
    for (const end of ends) end()
    for (const client of ['x', 'y']) for (let at = 0; at < MAX_CALLS_OF_CLIENT; at++) await enter(calls, client)
  })

  it('give the place of a client that leaves back at once, as long as few of its calls go on without it', async () => {
    const calls = new CallTurns()
    const ends: (() => void)[] = []
    /** A call that goes on until the test ends it. */
    const hang = async (by = signal): Promise<unknown> => {
      const asked = calls.run('a', by, () => new Promise<void>(resolve => ends.push(resolve)))
      return asked.then(() => 'done', codeOf)
    }
    for (const outcome of ['free', 'kept']) {
      const leaving = new AbortController()
      const all = Array.from({ length: MAX_CALLS_OF_CLIENT }, () => hang(leaving.signal))
      await turns(2)
      expect(await hang()).to.equal('tooManyCalls')
      leaving.abort(new ToolError('aborted'))
      expect(await Promise.all(all)).to.deep.equal(Array(MAX_CALLS_OF_CLIENT).fill('aborted'))
      if (outcome === 'kept') expect(await hang()).to.equal('tooManyCalls')
    }
    for (const end of ends.splice(0)) end()
    await turns(2)
    const last = Array.from({ length: MAX_CALLS_OF_CLIENT }, () => hang())
    await turns(2)
    expect(await hang()).to.equal('tooManyCalls')
    for (const end of ends.splice(0)) end()
    expect(await Promise.all(last)).to.deep.equal(Array(MAX_CALLS_OF_CLIENT).fill('done'))
  })
})
