// Runs the thread of the schemas from its TypeScript source: Node 20 does not hand loaders on to threads.
import { register } from 'tsx/esm/api'

register()
await import('../../src/schemas/codec-worker.ts')
