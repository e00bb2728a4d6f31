import { expect } from 'chai'
import { Places, type Release } from '../../src/core/places.js'
import { FakeTime } from '../support/fake-time.js'
import { turns } from '../support/ticks.js'

describe('core: places', () => {
  let max: number
  let places: Places
  /** Who has got a place, in that order, and what gives it back. */
  let got: { readonly name: string; readonly release: Release }[]
  let time: FakeTime | undefined

  beforeEach(() => {
    max = 1
    places = new Places(() => max, 'places')
    got = []
  })
  afterEach(() => {
    for (const { release } of got) release()
    time?.restore()
    time = undefined
  })

  const names = (): string[] => got.map(({ name }) => name)
  /** @param name begins with that of its client @returns ends the wait */
  const enter = (name: string): (() => void) => places.enter(name[0], release => void got.push({ name, release }))
  const take = (name: string, signal?: AbortSignal): Promise<unknown> =>
    places.take({ signal }).then(
      release => void got.push({ name, release }),
      reason => reason
    )

  it('are given at once while there are some, and once each', () => {
    max = 2
    for (const name of ['a1', 'a2']) enter(name)
    expect([names(), places.taken, places.tryTake()]).to.deep.equal([['a1', 'a2'], 2, undefined])
    got[0]!.release()
    got[0]!.release()
    expect(places.taken).to.equal(1)
    const release = places.tryTake()!
    expect(places.tryTake()).to.equal(undefined)
    release()
  })

  it('that become free are those of clients in turn, before others come', () => {
    for (const name of ['a1', 'a2', 'a3', 'b1', 'a4']) enter(name)
    expect([places.waiting, places.waitingOf('a'), places.waitingOf('b')]).to.deep.equal([4, 3, 1])
    for (let at = 0; at < 3; at++) {
      got[at]!.release()
      expect(places.tryTake()).to.equal(undefined)
    }
    expect([names(), places.waiting]).to.deep.equal([['a1', 'a2', 'b1', 'a3'], 1])
  })

  it('are not given to those who have left their wait', () => {
    enter('a1')
    const leave = enter('a2')
    enter('a3')
    leave()
    leave()
    got[0]!.release()
    expect([names(), places.waiting]).to.deep.equal([['a1', 'a3'], 0])
  })

  it('are given in the order in which they were asked for, and none to those whose signal ends the wait', async () => {
    const leaves = new AbortController()
    const all = ['first', 'second'].map(name => take(name))
    const left = take('left', leaves.signal)
    const [third, fourth] = [take('third'), take('fourth')]
    leaves.abort('gone')
    expect(await left).to.equal('gone')
    expect(await take('never', leaves.signal)).to.equal('gone')
    await all[0]
    got[0]!.release()
    await all[1]
    await turns(2)
    expect(names()).to.deep.equal(['first', 'second'])
    max = 3
    places.wake()
    await Promise.all([third, fourth])
    expect([names().slice(2), places.taken]).to.deep.equal([['third', 'fourth'], 3])
  })

  it('are refused to those who have waited for so long, and are not kept for them', async () => {
    time = new FakeTime()
    enter('a1')
    const [late, inTime] = [100, 300].map(waitMs => places.take({ client: 'b', waitMs }))
    await time.pass(150)
    expect([await late, places.waiting]).to.deep.equal([undefined, 1])
    got[0]!.release()
    const release = await inTime
    expect([places.taken, time.timers]).to.deep.equal([1, 0])
    release!()
    expect(places.taken).to.equal(0)
  })
})
