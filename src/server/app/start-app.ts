import type { Config } from '../config/config.js'
import type { App, AppDeps } from './app.js'

/** Starts the whole gateway. Its HTTP server is loaded now: programs that only use the Router do without it. */
export const startApp = async (config: Config, deps: AppDeps): Promise<App> =>
  (await import('./app.js')).startApp(config, deps)
