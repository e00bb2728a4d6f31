import { isMainThread, workerData } from 'node:worker_threads'

// Threads run what is built, as the product's do: loading tsx into each took longer than all else that one does. Only
// hooks of tests are TypeScript.
if (isMainThread || workerData?.module?.endsWith('.ts')) await import('tsx')
