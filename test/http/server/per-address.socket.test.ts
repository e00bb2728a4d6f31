import { expect } from 'chai'
import { gate, loudApi, type Started, startHttp, until } from './stage.js'

describe('http: what one address may do', () => {
  let started: Started
  afterEach(() => started.http.close())

  it('is any number of requests one after another, and as many at a time as the limit says', async () => {
    const gates = new Map()
    started = await startHttp({ http: { perAddress: { maxRequestsInFlight: 2 } }, plugin: loudApi(gates) })
    const { shared } = started.http.urls
    const look = async (): Promise<number> => (await fetch(`${shared}/loud/topics/t`)).status
    const push = async (body: string): Promise<number> =>
      (await fetch(`${shared}/loud/push`, { method: 'POST', body })).status
    for (let count = 0; count < 5; count++) expect([await look(), await push('x')]).to.deep.equal([200, 200])
    const holds = ['one', 'two'].map(name => gate(gates, name))
    const held = ['one', 'two'].map(name => fetch(`${shared}/loud/hold/${name}`, { method: 'POST', body: 'x' }))
    await Promise.all(holds.map(({ arrived }) => arrived))
    expect([await look(), await push('x')]).to.deep.equal([429, 429])
    for (const { release } of holds) release()
    for (const answer of await Promise.all(held)) expect(answer.status).to.equal(200)
    await until(async () => (await look()) === 200, 'a request of this address served again')
  })

  it('is to hold as many bytes of bodies as the limit says, which are free with the end of each request', async () => {
    started = await startHttp({ http: { perAddress: { maxBodiesInFlightBytes: 20_000 } } })
    const { shared } = started.http.urls
    const push = async (bytes: number): Promise<number> =>
      (await fetch(`${shared}/loud/push`, { method: 'POST', body: 'x'.repeat(bytes) })).status
    for (let count = 0; count < 5; count++) expect(await push(8_000)).to.equal(200)
    expect(await push(40_000)).to.equal(503)
    expect(await push(8_000)).to.equal(200)
  })

  it('is served at an address of IPv6, too, which is told with brackets', async () => {
    started = await startHttp({ http: { host: '::1' } })
    const { shared } = started.http.urls
    expect(shared).to.match(/^http:\/\/\[::1\]:\d+$/)
    expect((await fetch(`${shared}/loud/topics/t`)).status).to.equal(200)
  })
})
