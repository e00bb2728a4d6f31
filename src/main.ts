#!/usr/bin/env node
import { run } from './main/cli.js'
import { stopSignal } from './main/stop-signal.js'

// Nothing to say to a reader that has left; commands that care listen for themselves.
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

const { env: environment, stdout, stderr } = process
process.exit(await run(process.argv.slice(2), { environment, stdout, stderr, stopped: stopSignal(process) }))
