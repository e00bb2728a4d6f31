import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Browser, Page } from 'playwright-core'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { makeToken } from '../../../src/http/access/stored-credentials.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { App } from '../../../src/server/app/app.js'
import { isBrowserInstalled, startBrowser } from '../../support/browser.js'
import { startTestApp } from '../../support/test-app.js'
import { type OpenedPage, openPage } from './opened-page.js'

/** The page asks every two seconds; the rest is for a busy machine. */
const SHOWN_WITHIN_MS = 30_000
const FOREVER = Number.POSITIVE_INFINITY
const FAINT_TEXTS = readFileSync(join(import.meta.dirname, 'faint-texts.js'), 'utf8')

describe('the page of the management port, in a browser', function () {
  this.timeout(120_000)
  let browser: Browser
  let cluster: EmbeddedCluster
  let app: App
  let opened: OpenedPage
  let page: Page
  before(async function () {
    if (!isBrowserInstalled()) this.skip()
    browser = await startBrowser()
    cluster = await startEmbeddedCluster({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 1 })
    app = await startTestApp(cluster.bootstrap)
  })
  after(async () => {
    await browser?.close()
    await app?.stop()
    await cluster?.close()
  })
  beforeEach(async () => {
    opened = await openPage(browser, app.urls.management!)
    page = opened.page
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor()
  })
  afterEach(() => page?.close())

  const push = (records: readonly object[], isAwaited: boolean): Promise<string> =>
    fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, wait_for_send: isAwaited })
    }).then(answer => answer.text())
  /** Makes records of `orders` wait until the returned function is called. */
  async function makeTrouble(): Promise<() => void> {
    const fault = cluster.faults.add(
      { api: 'Produce', topic: 'orders', count: FOREVER },
      { type: 'error', errorCode: errorCodes.NOT_ENOUGH_REPLICAS }
    )
    await push([{ topic: 'orders', key: 'k', data: 'x' }], false)
    return () => fault.remove()
  }

  it('asks nobody but its own port, breaks no rule of its policy, and has five questions', async () => {
    const titles = await page.locator('section h2').allTextContents()
    expect(titles).to.deep.equal([
      'What is in trouble?',
      'Is my record in Kafka?',
      'Why slow or refused?',
      'What waits?',
      'Who lags?'
    ])
    expect(opened.complaints).to.deep.equal([])
    expect([...new Set(opened.asked)]).to.deep.equal(['/', '/status.json'])
  })

  it('shows a trouble with its cause and next step, says so aloud, and says when it is over', async () => {
    const end = await makeTrouble()
    const row = page.locator('li[data-kind=partitionStuck]')
    await row.waitFor({ timeout: SHOWN_WITHIN_MS })
    expect(await row.textContent())
      .to.include('partition orders/0')
      .and.include('NOT_ENOUGH_REPLICAS')
    expect(await row.locator('.next').textContent()).to.include('min.insync.replicas')
    expect(await page.title()).to.equal('1 trouble · Castellan')
    const see = row.getByRole('link', { name: 'docs/status.md#partitionstuck' })
    expect(await see.getAttribute('href')).to.match(
      /\/castellan\/blob\/(main|v[\d.]+)\/docs\/status\.md#partitionstuck$/
    )
    expect(await page.locator('#verdict').textContent()).to.equal('1 trouble')
    const aloud = page.locator('[role=status]').first()
    expect(await aloud.textContent()).to.include('New: partition orders/0')
    end()
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor({ timeout: SHOWN_WITHIN_MS })
    expect(await aloud.textContent()).to.equal('All is well again.')
    expect(await page.title()).to.equal('Castellan')
    expect(opened.complaints).to.deep.equal([])
  })

  it('has one card for many topics with the same trouble, which names all of them when it is opened', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `many-${at}`)
    const ends = names.map(topic => {
      cluster.createTopic(topic, { partitions: 1 })
      return cluster.faults.add(
        { api: 'Produce', topic, count: FOREVER },
        { type: 'error', errorCode: errorCodes.NOT_ENOUGH_REPLICAS }
      )
    })
    await push(
      names.map(topic => ({ topic, key: 'k', data: 'x' })),
      false
    )
    const card = page.locator('li[data-kind=partitionStuck]', { hasText: '12 times: partition stuck' })
    await card.waitFor({ timeout: SHOWN_WITHIN_MS })
    expect(await page.locator('li[data-kind=partitionStuck]').count()).to.equal(1)
    await card.locator('summary', { hasText: 'All 12: partition many-0/0, ' }).click()
    const listed = await card.locator('.all b').allTextContents()
    expect(listed.sort()).to.deep.equal(names.map(name => `partition ${name}/0`).sort())
    expect(await page.evaluate(FAINT_TEXTS)).to.deep.equal([])
    expect(opened.complaints).to.deep.equal([])
    for (const fault of ends) fault.remove()
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor({ timeout: SHOWN_WITHIN_MS })
  })

  it('has enough contrast in light and dark, also with troubles, and fits on a phone', async () => {
    const end = await makeTrouble()
    await page.locator('li[data-kind=partitionStuck]').waitFor({ timeout: SHOWN_WITHIN_MS })
    for (const summary of await page.locator('summary').all()) await summary.click()
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      expect(await page.evaluate(FAINT_TEXTS), colorScheme).to.deep.equal([])
    }
    await page.setViewportSize({ width: 360, height: 740 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).to.be.at.most(360)
    end()
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor({ timeout: SHOWN_WITHIN_MS })
  })

  it('finds a record by topic and key, by keyboard alone, and never shows its value', async () => {
    await push([{ topic: 'orders', key: 'k-42', data: 'a secret value' }], true)
    await page.locator('input[name=topic]').focus()
    await page.keyboard.type('orders')
    await page.keyboard.press('Tab')
    await page.keyboard.type('k-42')
    await page.keyboard.press('Enter')
    await page.getByText('Yes.').waitFor()
    const answer = page.locator('.answer')
    expect(await answer.textContent()).to.match(/partition 0, offset \d+/)
    expect(await page.content()).not.to.include('a secret value')
    await page.locator('input[name=key]').fill('no-such-key')
    await page.keyboard.press('Enter')
    await answer.getByText('No.').waitFor()
  })

  it('says with a found record that newer ones of its topic wait', async () => {
    await push([{ topic: 'orders', key: 'k', data: 'x' }], true)
    const end = await makeTrouble()
    await page.locator('li[data-kind=partitionStuck]').waitFor({ timeout: SHOWN_WITHIN_MS })
    await page.locator('input[name=topic]').fill('orders')
    await page.locator('input[name=key]').fill('k')
    await page.keyboard.press('Enter')
    await page.getByText('Yes, but a newer one may not be.').waitFor()
    expect(await page.locator('.answer').textContent()).to.match(
      / of .* UTC, .*But: Kafka does not take records of this topic now: .* wait.? in the gateway: a newer record with this key may not be in Kafka yet\./
    )
    end()
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor({ timeout: SHOWN_WITHIN_MS })
  })

  it('can be walked through by keyboard, and names its regions', async () => {
    expect(await page.locator('header, nav, main, footer').count()).to.equal(4)
    const stops: string[] = []
    for (let stop = 0; stop < 12; stop++) {
      await page.keyboard.press('Tab')
      stops.push(await page.evaluate<string>('document.activeElement.textContent'))
    }
    expect(stops[0]).to.equal('Pause')
    expect(stops.slice(1, 6)).to.deep.equal([
      'What is in trouble? 0',
      'Is my record in Kafka?',
      'Why slow or refused?',
      'What waits? 0',
      'Who lags?'
    ])
    expect(await page.locator('section:not([aria-labelledby])').count()).to.equal(0)
    expect(await page.locator('svg:not([aria-label])').count()).to.equal(0)
  })

  it('asks only while it can be seen, and not while it is paused', async () => {
    await page.clock.install()
    await page.reload()
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor()
    const look = (state: string): Promise<void> =>
      page.evaluate(`
        Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))
        undefined`)
    const askedWhile = async (run: () => Promise<unknown>): Promise<number> => {
      const before = opened.asked.length
      await run()
      return opened.asked.length - before
    }
    const next = (): Promise<unknown> => page.waitForResponse(response => response.url().endsWith('/status.json'))
    await look('hidden')
    await page.clock.runFor(4_000)
    expect(await askedWhile(() => page.clock.runFor(60_000))).to.equal(0)
    expect(await askedWhile(() => Promise.all([next(), look('visible')]))).to.equal(1)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.clock.runFor(4_000)
    expect(await askedWhile(() => page.clock.runFor(60_000))).to.equal(0)
    expect(await askedWhile(() => Promise.all([next(), page.getByRole('button', { name: 'Go on' }).click()]))).to.equal(
      1
    )
  })

  it('says that the gateway does not answer, keeps what it knew, and goes on', async () => {
    await page.route('**/status.json', route => route.abort())
    await page.getByText('The gateway does not answer').waitFor({ timeout: SHOWN_WITHIN_MS })
    expect(await page.locator('section h2').allTextContents()).to.include('What waits?')
    await page.unroute('**/status.json')
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor({ timeout: SHOWN_WITHIN_MS })
  })

  it('has a page for people on the shared port, which fits on a phone, and whose link leads to it', async () => {
    const welcome = await openPage(browser, app.urls.shared, { viewport: { width: 400, height: 740 } })
    for (const summary of await welcome.page.locator('summary').all()) await summary.click()
    for (const colorScheme of ['light', 'dark'] as const) {
      await welcome.page.emulateMedia({ colorScheme })
      expect(await welcome.page.evaluate(FAINT_TEXTS), colorScheme).to.deep.equal([])
    }
    expect(await welcome.page.evaluate('document.documentElement.scrollWidth')).to.be.at.most(400)
    await welcome.page.locator('pre code').first().click()
    expect(await welcome.page.evaluate('getSelection().toString()')).to.match(/^curl -i http:.*"wait_for_send":true}'$/)
    expect(welcome.complaints).to.deep.equal([])
    await welcome.page.getByRole('link', { name: 'OpenAPI' }).click()
    expect(await welcome.page.locator('body').textContent()).to.include('"openapi"')
    await welcome.page.goBack()
    await welcome.page.getByRole('link', { name: 'The management page' }).click()
    await welcome.page.locator('#verdict', { hasText: 'All is well' }).waitFor()
    await welcome.page.close()
  })

  // The last one: a refusal by Kafka is shown for a minute.
  it('tells requests that failed from requests and records that were refused, with a reason and a message of which 1280 pixels cut nothing', async () => {
    const errorCode = errorCodes.TOPIC_AUTHORIZATION_FAILED
    const fault = cluster.faults.add({ api: 'Produce', topic: 'orders', count: 1 }, { type: 'error', errorCode })
    await push([{ topic: 'orders', key: 'k', data: 'x' }], true)
    fault.remove()
    const failed = page.getByRole('table', { name: 'Requests answered 5xx' })
    await failed.waitFor({ timeout: SHOWN_WITHIN_MS })
    expect(await failed.locator('tbody th').allTextContents()).to.deep.equal(['notAuthorized'])
    const records = page.getByRole('table', { name: 'Records refused or failed' })
    expect(await records.locator('thead').textContent())
      .to.include('Records')
      .and.not.include('Requests')
    expect(await page.getByRole('table', { name: 'Requests refused before' }).count()).to.equal(0)
    // Room for several words beside the other columns.
    await page.setViewportSize({ width: 1280, height: 800 })
    expect((await records.locator('tbody td').last().boundingBox())!.width).to.be.at.least(300)
  })
})

describe('the page of a gateway with a queue', function () {
  this.timeout(120_000)
  let cluster: EmbeddedCluster
  let app: App
  let browser: Browser
  before(async function () {
    if (!isBrowserInstalled()) this.skip()
    browser = await startBrowser()
    cluster = await startEmbeddedCluster()
    app = await startTestApp(cluster.bootstrap)
  })
  after(async () => {
    await browser?.close()
    await app?.stop()
    await cluster?.close()
  })

  it('lists a queue with what its clients hold, and says what was archived', async () => {
    const { page } = await openPage(browser, app.urls.management!)
    cluster.createTopic('jobs', { partitions: 1 })
    const queue = `${app.urls.shared}/queues/jobs/workers`
    const post = (path: string, body: object, method = 'POST') =>
      fetch(queue + path, { method, body: JSON.stringify(body) })
    const acquire = async (): Promise<string> => {
      const answer = await post('/acquire', {})
      const { messages } = (await answer.json()) as { readonly messages: readonly [{ readonly token: string }] }
      return messages[0].token
    }
    const records = [1, 2].map(key => ({ topic: 'jobs', key: `${key}`, data: 'x' }))
    await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, wait_for_send: true })
    })
    await post('', { start: 'earliest', deliveryLimit: 2 }, 'PATCH')
    await post('/settle', { release: [await acquire()] })
    const [again, other] = [await acquire(), await acquire()]
    await post('/settle', { release: [again] })
    const lag = page.locator('#lag')
    await lag.getByText('1 message of queues was archived').waitFor({ timeout: SHOWN_WITHIN_MS })
    const cells = await lag.locator('tbody tr').locator('th, td').allTextContents()
    expect(cells.toSpliced(3, 1)).to.deep.equal(['jobs', 'workers', '1', '0', '1', '0', ''])
    expect(cells[3]).to.match(/\d m?s$/)
    await post('/settle', { accept: [other] })
  })
})

describe('the page of a gateway that asks for credentials', function () {
  this.timeout(120_000)
  let browser: Browser
  let cluster: EmbeddedCluster
  let app: App
  const { token, sha256 } = makeToken()
  before(async function () {
    if (!isBrowserInstalled()) this.skip()
    browser = await startBrowser()
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    app = await startTestApp(cluster.bootstrap, {
      'auth.tokens': JSON.stringify([{ principal: 'ann', sha256 }]),
      'access.rules': JSON.stringify([{ principals: ['ann'], operations: ['management'] }])
    })
  })
  after(async () => {
    await browser?.close()
    await app?.stop()
    await cluster?.close()
  })

  it('asks for a token, keeps it in its tab, and is refused what the rules do not give', async () => {
    const { page, complaints } = await openPage(browser, app.urls.management!)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await page.locator('section h2').allTextContents()).to.deep.equal(['Sign in'])
    await page.locator('input[name=token]').fill('a wrong one')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.locator('input[name=token]').fill(token)
    await page.keyboard.press('Enter')
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor()
    await page.reload()
    await page.locator('#verdict', { hasText: 'All is well' }).waitFor()
    await page.locator('input[name=topic]').fill('orders')
    await page.keyboard.press('Enter')
    await page.locator('.answer').getByText('Not known.').waitFor()
    expect(await page.locator('.answer').textContent()).to.include('no rule allows consume here')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    // The browser reports refused answers; nothing else may be wrong.
    expect(complaints.filter(text => !/status of 40[13]/.test(text))).to.deep.equal([])
    await page.close()
  })
})
