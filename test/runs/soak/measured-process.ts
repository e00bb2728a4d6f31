import { heldBytes } from '../../support/held-bytes.js'
import { startTestApp } from '../../support/test-app.js'
import type { FromMeasured } from './measured-gateway.js'

const [bootstrap, settings] = process.argv.slice(2) as [string, string]
const tell = (message: FromMeasured): void => void process.send!(message)

const { urls } = await startTestApp(bootstrap, JSON.parse(settings))
process.on('message', async () => {
  const held = await heldBytes()
  tell({ type: 'measured', heldBytes: held, externalBytes: process.memoryUsage().external })
})
process.on('disconnect', () => process.exit(0))
tell({ type: 'up', url: urls.shared, management: urls.management! })
