import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import { isBrowserInstalled, startBrowser } from './browser.js'

describe('the browser of the tests', () => {
  let browser: Browser | undefined
  before(function () {
    if (!isBrowserInstalled()) this.skip()
  })
  afterEach(() => browser?.close())

  it('shows a page of this machine', async function () {
    this.timeout(90_000)
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'text/html')
      response.end('<title>here</title><script>document.title += " and now"</script>')
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    try {
      browser = await startBrowser()
      const page = await browser.newPage()
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
      expect(await page.title()).to.equal('here and now')
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
