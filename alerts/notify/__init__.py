"""Who is told about pages: a webhook, Alertmanager, a callback."""

from alerts.notify.alertmanager import alertmanager
from alerts.notify.base import DeliveryError, Notifier
from alerts.notify.callback import CallbackNotifier
from alerts.notify.queued import QueuedNotifier
from alerts.notify.webhook import webhook

__all__ = ["CallbackNotifier", "DeliveryError", "Notifier", "QueuedNotifier", "alertmanager", "webhook"]
