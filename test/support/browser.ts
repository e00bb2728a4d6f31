import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

/** Where Debian's package has it. */
const CHROMIUM = '/usr/bin/chromium'

const START_TIMEOUT_MS = 60_000

/** Switches besides those of the driver. Nothing may leave this machine, and the process may be root in a container. */
const SWITCHES = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/** Whether Chromium is installed; says so where it is not, for what is skipped is not tested. */
export function isBrowserInstalled(): boolean {
  const isThere = existsSync(CHROMIUM)
  if (!isThere)
    console.error('!!! SKIPPED: chromium is not installed (Debian: apt-get install chromium); no page is tested in it')
  return isThere
}

/** Starts a headless Chromium with a new, empty profile. The caller closes it. */
export const startBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM, headless: true, args: SWITCHES, timeout: START_TIMEOUT_MS })
