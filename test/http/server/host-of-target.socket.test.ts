import { expect } from 'chai'
import { askRaw } from '../../support/raw-socket.js'
import { checkRows } from '../../support/rows.js'
import { type Started, startHttp } from './stage.js'

describe('the host of a request', () => {
  let started: Started | undefined
  afterEach(async () => {
    await started?.http.close()
    started = undefined
  })

  const statusOf = async (url: string, target: string, ...headers: string[]): Promise<string> => {
    const head = [`GET ${target} HTTP/1.1`, ...headers, 'Connection: close', '', ''].join('\r\n')
    return (await askRaw(url, head)).slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)
  }

  /** Source: RFC 9112, section 3.2.2. */
  const rows: [what: string, target: string, host: string, status: string][] = [
    ['another host in the target than in Host', 'http://evil.example/loud/topics/t', 'localhost', '403'],
    ['ours in the target, and another in Host', 'http://localhost:8080/loud/topics/t', 'evil.example', '200'],
    ['another host, with ours as the user', 'http://localhost@evil.example/loud/topics/t', 'localhost', '403'],
    ['ours, with another as the user', 'HTTP://evil.example@LOCALHOST/loud/topics/t', 'evil.example', '200'],
    ['no host in the target', 'http:///loud/topics/t', 'localhost', '403'],
    ['another host without a path', 'http://evil.example?/loud', 'localhost', '403'],
    ['a path that has a URL', '/loud/topics/http://evil.example', 'localhost', '404'],
    ['a query that has a URL', '/loud/topics/t?http://evil.example/', 'localhost', '200']
  ]

  it('is that of a target with a host, for the check of known hosts', async () => {
    started = await startHttp({})
    const { shared } = started.http.urls
    await checkRows(rows, async ([, target, host, status]) =>
      expect(await statusOf(shared, target, `Host: ${host}`)).to.equal(status)
    )
  })

  it("is that of a target with a host on an API's own port, too", async () => {
    started = await startHttp({ own: true })
    const own = started.http.urls.apis.get('loud')!
    expect(await statusOf(own, 'http://evil.example/topics/t', 'Host: localhost')).to.equal('403')
    expect(await statusOf(own, 'http://localhost/topics/t', 'Host: evil.example')).to.equal('200')
  })

  it('is that of a target with a host, for the origin of a page of ours', async () => {
    started = await startHttp({})
    const { shared } = started.http.urls
    const target = 'http://localhost:8080/loud/topics/t'
    for (const [host, origin, status] of [
      ['localhost:1', 'http://localhost:8080', '200'],
      ['localhost:1', 'http://localhost:1', '403']
    ] as const)
      expect(await statusOf(shared, target, `Host: ${host}`, `Origin: ${origin}`), origin).to.equal(status)
  })

  it('is needed in Host all the same', async () => {
    started = await startHttp({})
    expect(await statusOf(started.http.urls.shared, 'http://localhost/loud/topics/t')).to.equal('400')
  })
})
