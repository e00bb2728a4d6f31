import { expect } from 'chai'
import { type Started, startHttp, until } from './stage.js'

describe('http while load is shed', () => {
  const limits = { maxEventLoopDelayMs: 500 }
  let started: Started
  afterEach(() => started.http.close())

  it('refuses requests with a body, in the format of their API, and nothing else', async () => {
    let lateMs = 0
    started = await startHttp({ http: limits, now: () => performance.now() + (lateMs += 700) })
    const { shared, management } = started.http.urls
    const push = () => fetch(`${shared}/loud/push`, { method: 'POST', body: 'x' })
    let refused: Response | undefined
    await until(async () => {
      const answer = await push()
      if (answer.status === 503) refused = answer
      else await answer.text()
      return refused !== undefined
    }, 'a request refused')
    expect(await refused!.json()).to.deep.equal({ LOUD: 'overloaded' })
    for (const url of [`${shared}/loud/topics/t`, `${management}/health-check`, `${management}/ready`]) {
      for (let at = 0; at < 8; at++) expect((await fetch(url)).status, url).to.equal(200)
    }
    const empty = { method: 'POST', headers: { 'content-length': '0' } }
    for (let at = 0; at < 8; at++) {
      expect((await fetch(`${shared}/loud/push`, empty)).status, 'no body').to.equal(200)
      expect((await fetch(`${shared}/nowhere`, { method: 'POST', body: 'x' })).status, 'no api').to.equal(404)
    }
    expect(await started.metric('castellan_http_shed_requests_total')).to.be.greaterThan(0)
    expect(started.lines.map(({ message }) => message).join()).to.contain('advanced.http.maxEventLoopDelayMs')
  })

  it('refuses nothing of a normal load', async () => {
    started = await startHttp({ http: limits })
    const { shared } = started.http.urls
    const statuses = await Promise.all(
      Array.from(
        { length: 200 },
        async () => (await fetch(`${shared}/loud/push`, { method: 'POST', body: 'x' })).status
      )
    )
    expect(new Set(statuses)).to.deep.equal(new Set([200]))
    expect(await started.metric('castellan_http_shed_requests_total')).to.equal(0)
  })
})
