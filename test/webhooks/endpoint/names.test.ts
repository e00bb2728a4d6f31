import { expect } from 'chai'
import { Names } from '../../../src/webhooks/endpoint/names.js'
import { FakeTime } from '../../support/fake-time.js'

/** A name server that is told its answers. */
class NameServer {
  /** By name; absent: silence. */
  readonly answers = new Map<string, readonly string[] | string>()
  asked: string[] = []
  cancelled = 0

  readonly createResolver = () => {
    let fail: (error: Error) => void = () => undefined
    const answer = (name: string, version: 4 | 6): Promise<string[]> =>
      new Promise((resolve, reject) => {
        fail = reject
        this.asked.push(`${name} ${version}`)
        const answer = this.answers.get(name)
        if (typeof answer === 'string') reject(Object.assign(new Error(`secret text`), { code: answer }))
        else if (answer !== undefined) resolve(answer.filter(one => one.includes(':') === (version === 6)))
      })
    return {
      resolve4: (name: string) => answer(name, 4),
      resolve6: (name: string) => answer(name, 6),
      cancel: () => {
        this.cancelled++
        fail(new Error('cancelled'))
      }
    } as never
  }
}

describe('names of endpoints', () => {
  let fake: FakeTime
  let server: NameServer
  let names: Names

  beforeEach(() => {
    fake = new FakeTime()
    server = new NameServer()
    names = new Names({ clock: fake.now, createResolver: server.createResolver })
  })
  afterEach(() => fake.restore())

  const never = new AbortController().signal
  const ask = (name: string, signal = never): Promise<unknown> =>
    names.addressesOf(name, signal).catch(error => (error.kind === undefined ? error : [error.kind, error.message]))

  it('have their addresses of both families, IPv4 first, and localhost those of loopback', async () => {
    server.answers.set('a.example', ['fd00::1', '10.0.0.1', '10.0.0.2'])
    expect(await ask('a.example')).to.deep.equal(['10.0.0.1', '10.0.0.2', 'fd00::1'])
    expect(await ask('A.example.')).to.deep.equal(['10.0.0.1', '10.0.0.2', 'fd00::1'])
    for (const name of ['localhost', 'LOCALHOST.']) expect(await ask(name)).to.deep.equal(['127.0.0.1', '::1'])
    expect(server.asked).to.deep.equal(['a.example 4', 'a.example 6'])
  })

  it('are asked for once in five seconds, also those without an address', async () => {
    server.answers.set('a.example', ['10.0.0.1'])
    server.answers.set('none.example', 'ENOTFOUND')
    const failed = ['name', 'none.example has no address: ENOTFOUND']
    for (let at = 0; at < 3; at++) {
      expect(await Promise.all([ask('a.example'), ask('none.example')])).to.deep.equal([['10.0.0.1'], failed])
      await fake.pass(2_000)
    }
    expect(server.asked).to.have.lengthOf(2 * 2)
    server.answers.set('a.example', ['10.0.0.2'])
    await fake.pass(5_000)
    expect(await ask('a.example')).to.deep.equal(['10.0.0.2'])
  })

  it('without an answer are given up after two seconds, and the question with them', async () => {
    const answer = ask('silent.example')
    await fake.pass(1_990)
    expect(server.cancelled).to.equal(0)
    await fake.pass(20)
    expect(await answer).to.deep.equal(['name', 'no answer of the name server for silent.example within 2000 ms'])
    expect(server.cancelled).to.equal(1)
  })

  it('are looked up sixteen at a time', async () => {
    const silent = Array.from({ length: 20 }, (_, at) => ask(`silent-${at}.example`))
    server.answers.set('good.example', ['10.0.0.1'])
    const good = ask('good.example')
    await fake.pass(100)
    expect(server.asked).to.have.lengthOf(2 * 16)
    await fake.pass(2_000)
    expect(await good).to.deep.equal(['10.0.0.1'])
    await fake.pass(2_100)
    const kinds = (await Promise.all(silent)).map(answer => (answer as string[])[0])
    expect(new Set(kinds)).to.deep.equal(new Set(['name']))
  })

  it('are waited for no longer than their attempt lasts: for a turn, for an answer, and for that of another attempt', async () => {
    const silent = Array.from({ length: 16 }, (_, at) => ask(`silent-${at}.example`))
    const over = new AbortController()
    const left = ['good.example', 'silent-0.example', 'silent-1.example'].map(name => ask(name, over.signal))
    over.abort('over')
    expect(await Promise.all(left)).to.deep.equal(['over', 'over', 'over'])
    await fake.pass(2_100)
    await Promise.all(silent)
    expect(server.asked)
      .to.have.lengthOf(2 * 16)
      .and.not.include('good.example 4')
    server.answers.clear()
    const alone = new AbortController()
    const first = ask('silent.example', alone.signal)
    alone.abort('over')
    expect(await first).to.equal('over')
    await fake.pass(2_100)
  })

  it('have at most 32 addresses of a family', async () => {
    server.answers.set(
      'many.example',
      Array.from({ length: 4_000 }, (_, at) => `10.0.${at >> 8}.${at & 255}`)
    )
    expect(await ask('many.example')).to.have.lengthOf(32)
  })
})
