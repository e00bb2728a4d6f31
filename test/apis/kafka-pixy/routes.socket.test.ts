import { expect } from 'chai'
import { checkRows } from '../../support/rows.js'
import { type Answer, PixyGateway } from './stage.js'

/** `405 - `: status, type and body. */
const said = ({ status, type, body }: Answer): string => `${status} ${type || '-'} ${body}`

const NOT_FOUND = '404 text/plain; charset=utf-8 404 page not found\n'
const NOT_ALLOWED = '405 - '

describe('pixy: routes', function () {
  this.timeout(30_000)
  let pixy: PixyGateway
  before(async () => {
    pixy = await PixyGateway.start()
  })
  after(() => pixy.stopAll())

  it('pixy H41: ping is answered pong', async () => {
    expect(said(await pixy.get('/_ping'))).to.equal('200 text/plain; charset=utf-8 pong')
  })

  const rest: [method: string, path: string, said: string][] = [
    ['POST', '/_ping', NOT_ALLOWED],
    ['GET', '/_ping/', NOT_FOUND],
    ['POST', '/pprof/heap', NOT_ALLOWED],
    ['GET', '/pprof', NOT_FOUND],
    ['GET', '/pprof/heap/', NOT_FOUND],
    ['GET', '/', NOT_FOUND],
    ['GET', '/nope', NOT_FOUND],
    ['GET', '/topics/t/', NOT_FOUND],
    ['GET', '/topics/a%2Fb/messages?group=g', NOT_FOUND],
    ['GET', '/clusters', NOT_FOUND],
    ['DELETE', '/topics/t/messages', NOT_ALLOWED],
    ['HEAD', '/topics/t/messages', NOT_ALLOWED],
    ['OPTIONS', '/topics/t/messages', NOT_ALLOWED],
    ['GET', '/topics/%zz/messages', '400 text/plain; charset=utf-8 400 Bad Request']
  ]
  it("pixy H51: each path that is redirected or unknown has the answer of the original's router", () =>
    checkRows(rest, async ([method, path, expected]) => {
      const answer = await pixy.ask(path, { method })
      expect(said(answer)).to.equal(expected)
      expect(answer.headers).to.not.have.property('allow')
      expect(answer.headers['x-content-type-options']).to.equal(answer.status === 404 ? 'nosniff' : undefined)
    }))

  it('a heap profile of Go is named as missing', async () => {
    const answer = await pixy.get('/pprof/heap')
    expect(answer.status).to.equal(501)
    expect(JSON.parse(answer.body).error).to.match(/^heap profiles of Go are not served; .*heap snapshot of Node$/)
  })

  it('a path that could be shorter is moved, with its query', async () => {
    const own = await pixy.get('//topics/./x?withPartitions')
    expect([said(own), own.headers.location]).to.deep.equal(['301 - ', '/topics/x?withPartitions'])
    const shared = await fetch(`${pixy.app.urls.shared}/pixy//topics?a`, { redirect: 'manual' })
    expect([shared.status, shared.headers.get('location')]).to.deep.equal([301, '/pixy/topics?a'])
  })

  it('is served on the shared port under its prefix', async () => {
    const answer = await fetch(`${pixy.app.urls.shared}/pixy/_ping`)
    expect(await answer.text()).to.equal('pong')
  })
})
