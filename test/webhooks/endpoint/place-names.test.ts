import { expect } from 'chai'
import type { Logger } from '../../../src/core/model.js'
import { PlaceNames } from '../../../src/webhooks/endpoint/place-names.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

const failure = (code: string): Error => Object.assign(new Error('no'), { code })

describe('names of brokers, peers and the registry', () => {
  let fake: FakeTime
  let asked: string[]
  let answer: (name: string) => Promise<readonly string[]>
  let said: unknown[]
  let names: PlaceNames

  beforeEach(() => {
    fake = new FakeTime()
    asked = []
    said = []
    answer = async () => ['10.0.0.1']
    const log = { warn: (fields: unknown) => said.push(fields) } as unknown as Logger
    const lookUpPlace = (name: string): Promise<readonly string[]> => {
      asked.push(name)
      return answer(name)
    }
    names = new PlaceNames({ clock: fake.now, log, lookUpPlace })
  })
  afterEach(() => fake.restore())

  it('are looked up once in five seconds, and localhost never', async () => {
    expect(
      await Promise.all(['Broker', 'broker', 'localhost', 'LOCALHOST.'].map(name => names.addressesOf(name)))
    ).to.deep.equal([['10.0.0.1'], ['10.0.0.1'], ['127.0.0.1', '::1'], ['127.0.0.1', '::1']])
    await fake.pass(4_900, 100)
    await names.addressesOf('broker')
    expect(asked).to.deep.equal(['broker'])
    await fake.pass(200, 100)
    answer = async () => ['10.0.0.2']
    expect(await names.addressesOf('broker')).to.deep.equal(['10.0.0.2'])
    expect(fake.timers).to.equal(0)
  })

  it('have no address where the machine says so, which is told once', async () => {
    answer = () => Promise.reject(failure('ENOTFOUND'))
    for (const _ of [1, 2]) {
      expect(await names.addressesOf('registry')).to.deep.equal([])
      await fake.pass(5_000, 500)
    }
    expect(said).to.deep.equal([{ host: 'registry' }])
    answer = async () => ['10.0.0.1']
    expect(await names.addressesOf('registry')).to.deep.equal(['10.0.0.1'])
    await fake.pass(5_000, 500)
    answer = () => Promise.reject(failure('ENOTFOUND'))
    await names.addressesOf('registry')
    expect(said).to.have.lengthOf(2)
  })

  it('are not known while no name server says anything of them', async () => {
    answer = () => Promise.reject(failure('EAI_AGAIN'))
    expect(await names.addressesOf('registry')).to.equal(undefined)
    await fake.pass(5_000, 500)
    answer = async () => ['10.0.0.1']
    expect(await names.addressesOf('registry')).to.deep.equal(['10.0.0.1'])
    expect(said).to.deep.equal([])
  })

  it('are looked up one after another, and waited for two seconds', async () => {
    let go = (_: readonly string[]): void => undefined
    answer = () => new Promise(resolve => (go = resolve))
    const found: unknown[] = []
    for (const name of ['one', 'two', 'one']) void names.addressesOf(name).then(addresses => found.push(addresses))
    await fake.pass(1_900, 100)
    expect([asked, found]).to.deep.equal([['one'], []])
    await fake.pass(200, 100)
    expect(found).to.deep.equal([undefined, undefined, undefined])
    answer = async () => ['10.0.0.2']
    go(['10.0.0.1'])
    await turns(3)
    expect(await Promise.all([names.addressesOf('one'), names.addressesOf('two')])).to.deep.equal([
      ['10.0.0.1'],
      ['10.0.0.2']
    ])
    expect(asked).to.deep.equal(['one', 'two'])
  })
})
