import type { Browser, Page } from 'playwright-core'

/** A page in the browser, and what went wrong in it. */
export interface OpenedPage {
  readonly page: Page
  /** Messages of the console, errors of the script, and requests to anywhere but the page's own port. */
  readonly complaints: string[]
  /** Paths that were asked for, in order. */
  readonly asked: string[]
}

/** @param url of the management port */
export async function openPage(
  browser: Browser,
  url: string,
  options: Parameters<Browser['newPage']>[0] = {}
): Promise<OpenedPage> {
  const page = await browser.newPage({ colorScheme: 'light', ...options })
  const complaints: string[] = []
  const asked: string[] = []
  page.on('console', message => complaints.push(`console: ${message.text()}`))
  page.on('pageerror', error => complaints.push(`error: ${error.message}`))
  page.on('request', request => {
    const { origin, pathname, protocol } = new URL(request.url())
    if (protocol === 'data:') return
    asked.push(pathname)
    if (origin !== new URL(url).origin) complaints.push(`request: ${request.url()}`)
  })
  await page.goto(`${url}/`)
  return { page, complaints, asked }
}
