import { expect } from 'chai'
import { Shares } from '../../src/core/shares.js'
import { configOf, type Guarded, makeToken, startGuarded, TestFolder } from '../support/access.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { RawSocket } from '../support/raw-socket.js'

describe('shares of clients', () => {
  it('leave capacity for one more client, however many there are', () => {
    const shares = new Shares(5_000, 'places')
    const taken: (() => void)[] = []
    const takeAll = (client: string | undefined): number => {
      const before = taken.length
      while (shares.problemOf(client) === undefined) taken.push(shares.take(client))
      return taken.length - before
    }
    const counts = ['a', 'b', 'c', 'd', 'e', 'f'].map(takeAll)
    for (const [at, count] of counts.entries()) expect(count).to.be.closeTo(5_000 / 2 ** (at + 1), 2)
    expect(shares.problemOf('a')).to.equal('greedy')
    expect(shares.problemOf('g')).to.equal(undefined)
    expect(takeAll(undefined)).to.equal(5_000 - counts.reduce((sum, count) => sum + count))
    expect(shares.problemOf('g')).to.equal('full')
    for (const release of taken) release()
  })

  it('are free for others once they are given back', () => {
    const shares = new Shares(2, 'places')
    const give = [shares.take('a'), shares.take('a')]
    expect(shares.problemOf('b')).to.equal('full')
    for (const one of give) one()
    const again = ['a', 'a'].map(client => {
      expect(shares.problemOf(client)).to.equal(undefined)
      return shares.take(client)
    })
    for (const one of again) one()
  })
})

describe('tails of one client', () => {
  const [greedy, polite] = [makeToken(), makeToken()]
  const folder = new TestFolder()
  let guarded: Guarded
  const sockets: RawSocket[] = []
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await guarded?.stop()
  })
  after(() => folder.remove())

  const open = async (address: string, token?: string): Promise<RawSocket> => {
    const { port } = new URL(guarded.http.urls.shared)
    const socket = await RawSocket.open(`http://${address}:${port}`)
    sockets.push(socket)
    const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`
    await socket.send(`GET /pixy/topics/orders/tail HTTP/1.1\r\nHost: localhost\r\n${authorization}\r\n`)
    return socket
  }
  const untilOpen = async (count: number): Promise<void> => {
    const line = `kafka_pixy_open_tails ${count}\n`
    while (!(await guarded.metricsText()).includes(line)) await new Promise(resolve => setImmediate(resolve))
  }
  const tokens = [
    { principal: 'greedy', sha256: greedy.sha256 },
    { principal: 'polite', sha256: polite.sha256 }
  ]
  const rules = [{ principals: ['*'], operations: ['consume'], topics: ['*'] }]

  it('leave places for other principals', async () => {
    guarded = await startGuarded(configOf(folder, { auth: { tokens }, access: { rules } }), new FakeVerbs())
    const openBy = (token: string): Promise<RawSocket> => open('127.0.0.1', token)
    for (let count = 1; count <= 51; count++) {
      await openBy(greedy.token)
      await untilOpen(count)
    }
    const refused = await (await openBy(greedy.token)).until(text => text.includes('limit'))
    expect(refused).to.match(/^HTTP\/1\.1 429 .*too many tails of one client \(limit 100\)/s)
    await openBy(polite.token)
    await untilOpen(52)
    for (const socket of sockets.splice(0)) socket.destroy()
    await untilOpen(0)
    await openBy(greedy.token)
    await untilOpen(1)
  })

  it('leave places for other addresses where clients have no credentials', async () => {
    const http = { host: '0.0.0.0', allowAnonymous: true }
    guarded = await startGuarded(configOf(folder, { http }), new FakeVerbs())
    for (let count = 1; count <= 51; count++) {
      await open('127.0.0.1')
      await untilOpen(count)
    }
    const refused = await (await open('127.0.0.1')).until(text => text.includes('limit'))
    expect(refused).to.match(/^HTTP\/1\.1 429 .*too many tails of one client/s)
  })
})
