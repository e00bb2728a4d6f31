import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import { Children, Gateway } from '../../cli/child.js'
import { isBrowserInstalled, startBrowser } from '../../support/browser.js'

describe('the page of docs/start/browser.md', function () {
  this.timeout(120_000)
  const children = new Children()
  let html = /^```html wishes\.html\n([\s\S]*?)^```$/m.exec(readFileSync('docs/start/browser.md', 'utf8'))![1]!
  let server: Server
  let browser: Browser
  before(async function () {
    if (!isBrowserInstalled()) return this.skip()
    server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    browser = await startBrowser()
  })
  after(async () => {
    await browser?.close()
    await children.stopAll()
    server?.close().closeAllConnections()
  })

  it('writes a record and shows it as it is read', async () => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { url } = await Gateway.start(children, ['--embedded-port', '0', '--set', `http.allowedOrigins=${origin}`])
    html = html.replaceAll('http://127.0.0.1:8080', url)
    const page = await browser.newPage()
    await page.goto(`${origin}/wishes.html`)
    await page.click('button')
    await page.locator('li', { hasText: 'read: one book' }).waitFor()
    expect(await page.locator('li').allTextContents()).to.deep.equal(['sent: one book', 'read: one book'])
  })
})
