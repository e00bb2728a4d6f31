import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { Browser, Page } from 'playwright-core'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { isBrowserInstalled, startBrowser } from '../../support/browser.js'
import { startTestApp } from '../../support/test-app.js'

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** What a page sends, and what it may read of the answer; the name of the error, where the browser refuses. */
type Fetched = Answer | { readonly error: string }

describe('a page of another origin in Chromium', function () {
  this.timeout(120_000)
  let browser: Browser
  let cluster: EmbeddedCluster
  let pages: Server
  let page: Page
  let app: App | undefined
  before(async function () {
    if (!isBrowserInstalled()) this.skip()
    browser = await startBrowser()
    cluster = await startEmbeddedCluster({ nodes: 1 })
    pages = createServer((_, response) => {
      response.setHeader('content-type', 'text/html')
      response.end('<title>a page</title>')
    })
    await new Promise<void>(resolve => pages.listen(0, '127.0.0.1', resolve))
  })
  after(async () => {
    await browser?.close()
    await cluster?.close()
    pages?.closeAllConnections()
    pages?.close()
  })
  beforeEach(async () => {
    cluster.createTopic('orders', { partitions: 1 })
    page = await browser.newPage()
    await page.goto(`${origin()}/`)
  })
  afterEach(async () => {
    await page.close()
    await app?.stop()
    app = undefined
    cluster.deleteTopic('orders')
  })

  const origin = (): string => `http://127.0.0.1:${(pages.address() as AddressInfo).port}`
  const start = async (allowedOrigins: string, settings: Record<string, string> = {}): Promise<App> => {
    app = await startTestApp(cluster.bootstrap, { 'http.allowedOrigins': allowedOrigins, ...settings })
    return app
  }
  const get = (url: string, credentials: 'include' | 'omit'): Promise<Fetched> => send(url, credentials, undefined)
  const send = (url: string, credentials: 'include' | 'omit', body: string | undefined): Promise<Fetched> =>
    page.evaluate(
      async ([to, mode, json]) => {
        try {
          const headers = { 'content-type': 'application/json', 'x-own': 'of the page' }
          const posted = json === undefined ? {} : { method: 'POST', headers, body: json }
          const answer = await fetch(to, { credentials: mode, ...posted })
          return {
            status: answer.status,
            body: await answer.text(),
            headers: Object.fromEntries(answer.headers.entries())
          }
        } catch (error) {
          return { error: (error as Error).name }
        }
      },
      [url, credentials, body] as const
    )
  const push = (data: string, credentials: 'include' | 'omit' = 'include'): Promise<Fetched> =>
    send(
      `${app!.urls.shared}/kprf/push`,
      credentials,
      JSON.stringify({ records: [{ topic: 'orders', data }], wait_for_send: true })
    )
  /**
   * The first events of the topic, as the page gets them; `error` when the browser refuses the stream. The function runs in the
   * page, so it has no functions with names: the compiler of the tests would add a helper to them.
   */
  const events = (count: number, withCredentials: boolean): Promise<readonly string[]> =>
    page.evaluate(
      ([url, most, credentials]) =>
        new Promise<string[]>(resolve => {
          const got: string[] = []
          const source = new EventSource(url, { withCredentials: credentials })
          source.onmessage = ({ data }) => {
            got.push(String(data))
            if (got.length < most) return
            source.close()
            resolve(got)
          }
          source.onerror = () => {
            source.close()
            resolve([...got, 'error'])
          }
        }),
      [`${app!.urls.shared}/pixy/topics/orders/tail?from=earliest&encoding=text`, count, withCredentials] as const
    )
  const answered = (fetched: Fetched): Answer => {
    if ('error' in fetched) throw new Error(`the browser refuses: ${fetched.error}`)
    return fetched
  }

  it('that is named writes records and follows them, with credentials or without, and reads our headers', async () => {
    await start(origin())
    for (const credentials of ['include', 'omit'] as const) {
      const { status, body, headers } = answered(await push(`sent with ${credentials}`, credentials))
      expect([status, body]).to.deep.equal([200, '{"status":"ok","errors":[]}'])
      expect(headers).to.include.keys('x-request-id', 'x-castellan-persisted')
      expect(headers['x-castellan-persisted']).to.equal('yes')
    }
    for (const withCredentials of [true, false]) {
      const got = await events(2, withCredentials)
      expect(got.map(data => (JSON.parse(data) as { value: string }).value)).to.deep.equal([
        'sent with include',
        'sent with omit'
      ])
    }
  })

  it('that is not named can do neither, and nothing is written', async () => {
    await start('https://app.example')
    expect(await push('never')).to.deep.equal({ error: 'TypeError' })
    expect(await events(1, false)).to.deep.equal(['error'])
    expect(cluster.highWatermark('orders', 0)).to.equal(0)
  })

  it('is served without credentials where any page is, and never with them', async () => {
    await start('*')
    expect(answered(await push('sent', 'omit')).headers).to.include.keys('x-request-id', 'x-castellan-persisted')
    expect(await push('sent', 'include')).to.deep.equal({ error: 'TypeError' })
    expect(await events(1, true)).to.deep.equal(['error'])
    expect(await events(1, false)).to.have.length(1)
  })

  it('is not served by the management port, though it is named', async () => {
    const { urls } = await start(origin())
    for (const path of ['/metrics', '/ready', '/health-check']) {
      expect(await get(`${urls.management}${path}`, 'omit'), path).to.deep.equal({ error: 'TypeError' })
    }
  })

  it('reads the receipt of its records, and asks with it, with credentials too', async () => {
    const { urls } = await start(origin())
    const accepted = answered(await send(`${urls.shared}/arion/async/orders`, 'include', 'one order'))
    expect(accepted.status).to.be.within(200, 202)
    const receipt = accepted.headers['x-castellan-receipt']
    const settled = answered(await get(`${urls.shared}/receipts/${receipt}?wait=30s`, 'include'))
    expect(JSON.parse(settled.body)).to.deep.include({ settled: true, count: 1 })
  })
})
